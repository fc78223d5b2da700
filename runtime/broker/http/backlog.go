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
	taken, err := b.direct(ctx, l)
	if taken || err != nil {
		return err
	}
	l.route = nil
	return b.keep(ctx, l) // without the turn of the key, which those in the backlog may need
}

func (b *backlog) isEmpty() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.waiting) == 0
}

// direct asks members while the backlog is empty, and reports whether one has the
// message. Full ones are waited for; when none can be reached it is the backlog's
// turn.
func (b *backlog) direct(ctx context.Context, l *leg) (bool, error) {
	if !b.isEmpty() {
		return false, nil
	}
	if err := l.takeTurn(ctx); err != nil {
		return false, err
	}
	defer b.queue.turns.give(l.message.key)
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
