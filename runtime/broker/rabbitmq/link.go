package rabbitmqbroker

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/micro-event/micro-event/runtime/broker"
)

// Pauses between attempts to make a session.
const (
	lowestPause  = 20 * time.Millisecond
	highestPause = 2 * time.Second
)

// link keeps a session with the server, and makes a new one when it is lost. The
// client's own recovery is not used: delivery tags begin anew with it on the same
// channel, so that a late acknowledgement settles another message.
type link struct {
	url    string
	config config
	watch  func(lost error)

	ended context.Context //nolint:containedctx // the life of the link
	stop  context.CancelCauseFunc
	over  chan struct{} // closed when the goroutine has ended

	mu      sync.Mutex
	session *session      // nil while there is none
	lost    error         // why
	changed chan struct{} // closed when there is one again
}

func newLink(url string, c config, watch func(error)) *link {
	l := &link{url: url, config: c, watch: watch, over: make(chan struct{}), changed: make(chan struct{})}
	l.ended, l.stop = context.WithCancelCause(context.Background())
	return l
}

// begin makes the first session.
func (l *link) begin(ctx context.Context) error {
	s, err := dial(ctx, l.url, l.config)
	if err != nil {
		l.stop(broker.ErrClosed)
		return err
	}
	l.session = s
	go l.run(s)
	return nil
}

func (l *link) end() {
	l.stop(broker.ErrClosed)
	<-l.over
}

// run replaces sessions that are lost.
func (l *link) run(s *session) {
	defer close(l.over)
	for {
		select {
		case <-s.gone:
		case <-l.ended.Done():
			s.close(broker.ErrClosed)
			return
		}
		l.set(nil, s.err)
		l.watch(s.err)
		next := l.redial()
		if next == nil {
			s.close(broker.ErrClosed) // which waits when it is closing
			return
		}
		s = next
		l.set(s, nil)
		l.watch(nil)
	}
}

// redial tries until there is a session, or the link ends.
func (l *link) redial() *session {
	for pause := lowestPause; ; pause = min(2*pause, highestPause) {
		s, err := dial(l.ended, l.url, l.config)
		if err == nil {
			return s
		}
		l.set(nil, err)
		timer := time.NewTimer(pause/2 + rand.N(pause))
		select {
		case <-timer.C:
		case <-l.ended.Done():
			timer.Stop()
			return nil
		}
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

// await returns the session once there is one, or an error that says that nothing
// was sent.
func (l *link) await(ctx context.Context) (*session, error) {
	for {
		l.mu.Lock()
		s, lost, changed := l.session, l.lost, l.changed
		l.mu.Unlock()
		switch {
		case l.ended.Err() != nil:
			return nil, broker.ErrClosed
		case s != nil && !s.isGone():
			return s, nil
		case s != nil:
			lost = s.err
			// It is over, and soon replaced by nil or by the next one.
		}
		select {
		case <-changed:
		case <-l.ended.Done():
		case <-ctx.Done():
			return nil, broker.NotDelivered(fmt.Errorf("%w: %w: %w", broker.ErrNotConnected, lost, context.Cause(ctx)))
		}
	}
}
