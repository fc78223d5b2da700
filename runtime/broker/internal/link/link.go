// Package link keeps a driver connected: it holds the session with a server and makes
// a new one when it is lost.
package link

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/micro-event/micro-event/runtime/broker"
)

// Pauses before a new session is tried, which double from the one to the other. They
// begin anew when a session has lived longer than the longest.
const (
	ShortestPause = 20 * time.Millisecond
	LongestPause  = 2 * time.Second
)

// Session is what a driver calls a connection.
type Session interface {
	// Gone is closed when the session is over.
	Gone() <-chan struct{}

	// Err returns why, once it is.
	Err() error
}

// Link holds a session. It may be used concurrently.
type Link[S Session] struct {
	dial  func(context.Context) (S, error)
	watch func(lost error)

	ended context.Context //nolint:containedctx // the life of the link
	stop  context.CancelCauseFunc
	over  chan struct{} // closed when the goroutine has ended

	mu      sync.Mutex
	last    S             // from Begin on
	lost    error         // why there is no newer one, when last is gone
	changed chan struct{} // closed when there is a newer one
}

// New returns a link whose sessions dial makes. It calls watch with the reason when one
// is lost, and with nil when there is another one.
func New[S Session](dial func(context.Context) (S, error), watch func(lost error)) *Link[S] {
	l := &Link[S]{dial: dial, watch: watch, over: make(chan struct{}), changed: make(chan struct{})}
	l.ended, l.stop = context.WithCancelCause(context.Background())
	return l
}

// Begin makes the first session. When it fails the link is of no use.
func (l *Link[S]) Begin(ctx context.Context) error {
	s, err := l.dial(ctx)
	if err != nil {
		l.stop(broker.ErrClosed)
		return err
	}
	l.last = s
	go l.run(s)
	return nil
}

// End lets no session follow and returns the last one, which the caller ends.
func (l *Link[S]) End() S {
	l.stop(broker.ErrClosed)
	<-l.over
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last
}

// Ended ends with the link.
func (l *Link[S]) Ended() context.Context { return l.ended }

// run replaces sessions that are lost.
func (l *Link[S]) run(s S) {
	defer close(l.over)
	pause := ShortestPause
	for {
		begun := time.Now()
		select {
		case <-s.Gone():
		case <-l.ended.Done():
			return
		}
		if time.Since(begun) > LongestPause {
			pause = ShortestPause
		}
		l.note(s.Err())
		l.watch(s.Err())
		var ok bool
		if s, ok = l.redial(&pause); !ok {
			return
		}
		l.set(s)
		l.watch(nil)
	}
}

// redial tries until there is a session, or the link ends.
func (l *Link[S]) redial(pause *time.Duration) (s S, ok bool) {
	for {
		timer := time.NewTimer(*pause/2 + rand.N(*pause))
		select {
		case <-timer.C:
		case <-l.ended.Done():
			timer.Stop()
			return s, false
		}
		*pause = min(2**pause, LongestPause)
		s, err := l.dial(l.ended)
		if err == nil {
			return s, true
		}
		l.note(err)
	}
}

func (l *Link[S]) note(lost error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lost = lost
}

func (l *Link[S]) set(s S) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last, l.lost = s, nil
	close(l.changed)
	l.changed = make(chan struct{})
}

// Current returns the session, or why there is none. The connection may have been lost
// without being noticed yet.
func (l *Link[S]) Current() (s S, lost error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.last.Gone():
		if l.lost == nil {
			return s, l.last.Err()
		}
		return s, l.lost
	default:
		return l.last, nil
	}
}

// Await returns the session once there is one, or an error that says that nothing was
// sent.
func (l *Link[S]) Await(ctx context.Context) (s S, err error) {
	for {
		l.mu.Lock()
		changed := l.changed
		l.mu.Unlock()
		if l.ended.Err() != nil {
			return s, broker.NotDelivered(broker.ErrClosed)
		}
		current, lost := l.Current()
		if lost == nil {
			return current, nil
		}
		select {
		case <-changed:
		case <-l.ended.Done():
		case <-ctx.Done():
			if current, lost = l.Current(); lost == nil {
				return current, nil
			}
			return s, broker.NotDelivered(fmt.Errorf("%w: %w: %w", broker.ErrNotConnected, lost, context.Cause(ctx)))
		}
	}
}
