package brokertest

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"

	"github.com/micro-event/micro-event/runtime/broker"
)

// waits is memory whose Publish returns when all queues of the topic have
// settled the message, as HTTP does by default.
func waits(l *lab) {
	l.features.PublishWaits = true
	l.features.Capacity = 0
	l.info = func(i *broker.Info) {
		i.Capabilities.NoWait = false
		i.Capabilities.DeclareQueue = false
	}
	w := &waiters{queues: make(map[string]map[string]int), open: make(map[string]*waiter)}
	l.publish = w.publish
	l.sources(w.watch)
}

const waitHeader = "wait-id"

var errDropped = errors.New("dropped by a subscriber")

// waiters knows the queues of each topic, and who waits for them.
type waiters struct {
	mu     sync.Mutex
	queues map[string]map[string]int // members of each queue; named ones stay
	open   map[string]*waiter
	last   int
}

// waiter is a Publish that waits.
type waiter struct {
	left    int
	dropped bool
	done    chan struct{}
}

func (w *waiters) publish(ctx context.Context, p publication, next publishNext) error {
	w.mu.Lock()
	w.last++
	id := strconv.Itoa(w.last)
	wait := &waiter{left: len(w.queues[p.topic]), done: make(chan struct{})}
	w.open[id] = wait
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		delete(w.open, id)
		w.mu.Unlock()
	}()
	p = p.kept()
	p.record.Header = append(p.record.Header, broker.Field{Name: waitHeader, Value: id})
	if err := next(ctx, p); err != nil {
		return err
	}
	select {
	case <-wait.done:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if wait.dropped {
		return broker.Rejected(errDropped)
	}
	return nil
}

// watch counts a source as a queue of its topic and tells who waits for it.
func (w *waiters) watch(spec broker.SourceSpec, s *labSource) {
	queue := spec.Queue
	if queue == "" {
		w.mu.Lock()
		w.last++
		queue = "broadcast " + strconv.Itoa(w.last)
		w.mu.Unlock()
	}
	w.mu.Lock()
	if w.queues[spec.Topic] == nil {
		w.queues[spec.Topic] = make(map[string]int)
	}
	w.queues[spec.Topic][queue]++
	w.mu.Unlock()
	s.load = func(r *broker.Raw) (broker.Record, error) {
		m, err := s.Source.Load(r)
		m.Header = slices.DeleteFunc(slices.Clone(m.Header), func(f broker.Field) bool { return f.Name == waitHeader })
		return m, err
	}
	s.settle = func(ctx context.Context, r *broker.Raw, o broker.Outcome, cause error) error {
		m, err := s.Source.Load(r)
		id, _ := m.Get(waitHeader)
		err = errors.Join(err, s.Source.Settle(ctx, r, o, cause))
		if o != broker.GiveBack {
			w.settled(id, o == broker.Reject)
		}
		return err
	}
	s.close = func(ctx context.Context) error {
		if spec.Queue == "" {
			w.mu.Lock()
			delete(w.queues[spec.Topic], queue)
			w.mu.Unlock()
		}
		return s.Source.Close(ctx)
	}
}

func (w *waiters) settled(id string, dropped bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	wait := w.open[id]
	if wait == nil {
		return
	}
	wait.dropped = wait.dropped || dropped
	if wait.left--; wait.left == 0 {
		close(wait.done)
	}
}
