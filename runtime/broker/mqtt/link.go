package mqttbroker

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/micro-event/micro-event/runtime/broker"
)

const (
	lowestPause  = 20 * time.Millisecond
	highestPause = 2 * time.Second
)

// link keeps a session, and makes a new one when its connection is lost.
type link struct {
	dial  func(context.Context) (*session, error)
	watch func(lost error)

	ended context.Context //nolint:containedctx // the life of the link
	stop  context.CancelFunc
	over  chan struct{} // closed when the goroutine has ended

	mu      sync.Mutex
	session *session      // nil while there is none
	lost    error         // why
	changed chan struct{} // closed when there is one again
}

func newLink(dial func(context.Context) (*session, error), watch func(error)) *link {
	l := &link{dial: dial, watch: watch, over: make(chan struct{}), changed: make(chan struct{})}
	l.ended, l.stop = context.WithCancel(context.Background())
	return l
}

// begin makes the first session.
func (l *link) begin(ctx context.Context) error {
	s, err := l.dial(ctx)
	if err != nil {
		l.stop()
		return err
	}
	l.session = s
	go l.run(s)
	return nil
}

// end lets no session follow, and ends the one that there is on the server too.
func (l *link) end() {
	if s := l.halt(); s != nil {
		s.end(false)
	}
}

// halt lets no session follow, and returns the one that there is, or nil.
func (l *link) halt() *session {
	l.stop()
	<-l.over
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.session
}

// run replaces sessions that are lost.
func (l *link) run(s *session) {
	defer close(l.over)
	for {
		select {
		case <-s.gone:
		case <-l.ended.Done():
			return
		}
		l.set(nil, s.err)
		l.watch(s.err)
		first := lowestPause
		if errors.Is(s.err, errTakenOver) {
			first = highestPause
		}
		if s = l.redial(first); s == nil {
			return
		}
		l.set(s, nil)
		l.watch(nil)
	}
}

// redial tries until there is a session, or the link ends.
func (l *link) redial(pause time.Duration) *session {
	for ; ; pause = min(2*pause, highestPause) {
		timer := time.NewTimer(pause/2 + rand.N(pause))
		select {
		case <-timer.C:
		case <-l.ended.Done():
			timer.Stop()
			return nil
		}
		s, err := l.dial(l.ended)
		if err == nil {
			return s
		}
		l.set(nil, err)
	}
}

func (l *link) set(s *session, lost error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.session, l.lost = s, lost
	if s != nil {
		close(l.changed)
		l.changed = make(chan struct{})
	}
}

// current returns the session, or why there is none.
func (l *link) current() (*session, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.session == nil:
		return nil, l.lost
	case l.session.isGone():
		return nil, l.session.err
	default:
		return l.session, nil
	}
}

// live returns the session, if there is one.
func (l *link) live() (*session, bool) {
	s, err := l.current()
	return s, err == nil
}

// await returns the session once there is one, or an error that says that nothing was
// sent.
func (l *link) await(ctx context.Context) (*session, error) {
	for {
		l.mu.Lock()
		changed := l.changed
		l.mu.Unlock()
		if l.ended.Err() != nil {
			return nil, broker.ErrClosed
		}
		s, lost := l.current()
		if s != nil {
			return s, nil
		}
		select {
		case <-changed:
		case <-l.ended.Done():
		case <-ctx.Done():
			return nil, broker.NotDelivered(fmt.Errorf("%w: %w: %w", broker.ErrNotConnected, lost, context.Cause(ctx)))
		}
	}
}
