package httpbroker

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// begin lets a goroutine begin that close waits for, unless it has begun to.
func (p *publisher) begin() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ending {
		return false
	}
	p.running.Add(1)
	return true
}

// flush waits until all backlogs are empty, and reports what is left when ctx
// ends.
func (p *publisher) flush(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, p.options.flushTimeout)
	defer cancel()
	var errs []error
	for _, q := range p.allQueues() {
		select {
		case <-q.backlog.drained():
			continue
		default:
		}
		select {
		case <-q.backlog.drained():
		case <-ctx.Done():
			if n := q.backlog.len(); n > 0 {
				errs = append(errs, fmt.Errorf("%w: %d messages of %q found no member of queue %q", ErrLost, n, q.topic.name, q.name))
			}
		}
	}
	return errors.Join(errs...)
}

func (p *publisher) allQueues() []*queue {
	var queues []*queue
	for _, known := range p.topics.Range {
		t := known.(*topic) //nolint:forcetypeassert // it holds nothing else
		t.mu.Lock()
		for _, q := range t.queues {
			queues = append(queues, q)
		}
		t.mu.Unlock()
	}
	return queues
}

// handOver gives a message that was accepted here, and not handled, to another
// member of its queue. It may exceed the bounds of the backlog, since it was
// within those of the source.
func (p *publisher) handOver(e Entry, m *message) {
	if e.Queue == "" {
		return // the copy of a subscription that has ended
	}
	t := p.topic(e.Topic)
	t.mu.Lock()
	q := t.queue(e.Queue)
	t.mu.Unlock()
	id, _ := m.record.Get(idHeader)
	choice := m.record.Key
	if choice == "" {
		choice = m.id + id
	}
	out := &outgoing{choice: choice, key: m.record.Key, encoded: appendMessage(nil, m.id, &m.record)}
	p.backlogs.force(int64(len(out.encoded)))
	if !q.backlog.add(&leg{publisher: p, topic: t, queue: q, message: out, deadline: farFuture()}) {
		p.options.logger().Error("httpbroker: accepted message is lost", "topic", e.Topic, "queue", e.Queue, "key", m.record.Key,
			"since", time.Now())
	}
}
