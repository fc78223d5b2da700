package httpbroker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/micro-event/micro-event/runtime/broker"
)

// ErrLost is returned by Disconnect at level Accepted when messages that were
// accepted here, from a caller of Publish or for a subscription, have not been
// handled and are lost with the process.
var ErrLost = errors.New("accepted messages are lost")

// backlog keeps the messages of a queue that has no member at the moment, at
// level Accepted. While it holds any, later ones go behind them, so that the
// order stays.
type backlog struct {
	queue *queue

	mu      sync.Mutex
	waiting []*leg // the oldest first
	sending bool
	empty   chan struct{} // closed when nothing waits any more; nil when nobody asked
}

// accept returns when a member of the queue has the message, or the backlog.
func (b *backlog) accept(ctx context.Context, l *leg) error {
	if b.isEmpty() {
		if err := b.queue.turns.take(ctx, l.message.key, l.deadline); err != nil {
			return err
		}
		defer b.queue.turns.give(l.message.key)
		taken, err := b.direct(ctx, l)
		if taken || err != nil {
			return err
		}
	}
	return b.keep(ctx, l)
}

func (b *backlog) isEmpty() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.waiting) == 0
}

// direct asks members, and reports whether one has the message. Full ones are
// waited for; when none can be reached it is the backlog's turn.
func (b *backlog) direct(ctx context.Context, l *leg) (bool, error) {
	for b.isEmpty() {
		ep, route, err := l.choose(ctx)
		if ep == nil || err != nil {
			return false, err
		}
		if ended, err := l.try(ctx, ep, route); ended {
			return err == nil, err
		}
	}
	return false, nil
}

// keep puts a message into the backlog when there is room.
func (b *backlog) keep(ctx context.Context, l *leg) error {
	all, size := &l.publisher.backlogs, int64(len(l.message.encoded))
	timer := time.NewTimer(time.Until(l.deadline))
	defer timer.Stop()
	for room := all.room(); !all.take(size); room = all.room() {
		if l.noWait {
			return fmt.Errorf("%w: the backlog is full", broker.ErrBackpressure)
		}
		select {
		case <-room:
		case <-timer.C:
			return l.ended(ctx)
		case <-l.publisher.closed:
			return l.ended(ctx)
		case <-ctx.Done():
			return l.ended(ctx)
		}
	}
	if !b.add(l.kept()) {
		all.give(size)
		return broker.ErrClosed
	}
	return nil
}

// kept returns a copy of a leg that needs nothing of the caller's.
func (l *leg) kept() *leg {
	k := *l
	k.noWait, k.deadline = false, farFuture()
	k.message = &outgoing{choice: l.message.choice, key: l.message.key, encoded: append([]byte(nil), l.message.encoded...)}
	return &k
}

// farFuture is the deadline of what has none.
func farFuture() time.Time { return time.Now().Add(1000 * time.Hour) }

// add appends a message and sees to it that somebody sends it. It reports false
// when the publisher has ended.
func (b *backlog) add(l *leg) bool {
	p := l.publisher
	if !p.begin() {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waiting = append(b.waiting, l)
	if b.sending {
		p.running.Done()
		return true
	}
	b.sending = true
	go func() {
		defer p.running.Done()
		b.send(p)
	}()
	return true
}

// send empties the backlog in its order.
func (b *backlog) send(p *publisher) {
	for {
		l := b.first()
		if l == nil {
			return
		}
		err := b.queue.turns.take(p.life, l.message.key, l.deadline)
		if err == nil {
			err = l.runQueue(p.life)
			b.queue.turns.give(l.message.key)
		}
		if p.life.Err() != nil {
			return // what is left was reported
		}
		if err != nil && !errors.Is(err, errRejected) { // looking up the members failed
			l.failures++
			p.pause(backoff(l.failures))
			continue
		}
		if err != nil {
			p.options.logger().Error("httpbroker: accepted message was rejected", "topic", b.queue.topic.name,
				"queue", b.queue.name, "key", l.message.key, "error", err)
		}
		b.remove()
		p.backlogs.give(int64(len(l.message.encoded)))
	}
}

// pause waits for a while, or until the publisher ends.
func (p *publisher) pause(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-p.closed:
	}
}

// first returns the oldest message, or ends the sending.
func (b *backlog) first() *leg {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.waiting) > 0 {
		return b.waiting[0]
	}
	b.sending = false
	b.waiting = nil
	if b.empty != nil {
		close(b.empty)
		b.empty = nil
	}
	return nil
}

func (b *backlog) remove() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waiting[0] = nil
	b.waiting = b.waiting[1:]
}

// drained returns a channel that is closed when nothing waits.
func (b *backlog) drained() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.empty == nil {
		b.empty = make(chan struct{})
		if !b.sending {
			close(b.empty)
			defer func() { b.empty = nil }()
		}
	}
	return b.empty
}

func (b *backlog) len() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.waiting)
}

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
	p.mu.Lock()
	topics := make([]*topic, 0, len(p.topics))
	for _, t := range p.topics {
		topics = append(topics, t)
	}
	p.mu.Unlock()
	var queues []*queue
	for _, t := range topics {
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
