package event

import (
	"context"

	"github.com/micro-event/micro-event/runtime/broker"
)

// lane holds the events of one topic while there are any. Its worker publishes
// them, one batch after the other.
type lane struct {
	topic   string
	cancel  context.CancelCauseFunc // of the worker's context
	waiting []*publication          // guarded by the client's mutex

	batch   []*publication // being published; the worker's
	records []*broker.Record
}

// startLane starts the worker of a topic. The caller holds mu.
func (a *AsyncClient) startLane(topic string) *lane {
	ctx, cancel := context.WithCancelCause(context.Background())
	l := &lane{topic: topic, cancel: cancel}
	a.lanes[topic] = l
	a.workers.Go(func() {
		defer cancel(nil)
		for a.take(l) {
			a.settle(l, a.publishBatch(ctx, l))
		}
	})
	return l
}

// take moves what waits into the batch. When nothing does, it ends the lane.
func (a *AsyncClient) take(l *lane) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := min(len(l.waiting), maxBatch)
	if n == 0 {
		delete(a.lanes, l.topic)
		return false
	}
	l.batch = append(l.batch[:0], l.waiting[:n]...)
	rest := copy(l.waiting, l.waiting[n:])
	clear(l.waiting[rest:])
	l.waiting = l.waiting[:rest]
	return true
}

// publishBatch publishes the batch and returns nil or one error for each event.
func (a *AsyncClient) publishBatch(ctx context.Context, l *lane) []error {
	if engine, ok := a.broker.(*broker.Engine); ok {
		l.records = l.records[:0]
		for _, p := range l.batch {
			l.records = append(l.records, &p.record)
		}
		return engine.PublishRecords(ctx, l.topic, l.records)
	}
	errs := make([]error, len(l.batch))
	for i, p := range l.batch {
		m := p.record.Message()
		errs[i] = a.broker.Publish(ctx, l.topic, &m)
	}
	return errs
}

// settle tells what became of the batch and makes room.
func (a *AsyncClient) settle(l *lane, errs []error) {
	for i, p := range l.batch {
		var err error
		if i < len(errs) && errs[i] != nil {
			err = publishError(p.headers[placeType].Value, errs[i])
		}
		if a.onResult != nil {
			a.onResult(p.result(err))
		}
		a.count(p.sequence, err)
		a.release(p)
		<-a.room
	}
	clear(l.batch)
}

func (p *publication) result(err error) AsyncResult {
	return AsyncResult{
		Type: p.headers[placeType].Value, Topic: p.topic, Key: p.record.Key, ID: p.headers[placeID].Value, Err: err,
	}
}

// count notes how an event ended.
func (a *AsyncClient) count(sequence uint64, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.pending--
	if err != nil {
		a.failures.add(err)
	}
	for _, f := range a.flushes {
		f.count(sequence)
	}
}
