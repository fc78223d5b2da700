package redisbroker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"github.com/micro-event/micro-event/runtime/broker"
)

// Pauses between attempts to reach a server that is away, and how often one that is
// there is asked.
const (
	lowestPause  = 20 * time.Millisecond
	highestPause = time.Second
	pingInterval = 2 * time.Second
)

// link knows whether the server can be reached. It asks now and then, and at once
// when a command fails.
type link struct {
	watch func(lost error)

	mu       sync.Mutex
	lost     error           // nil while the server answers
	restored chan struct{}   // closed when it answers again
	doubts   chan struct{}   // has room for one
	ended    context.Context //nolint:containedctx // the life of the session
	stop     context.CancelCauseFunc
	over     chan struct{} // closed when the goroutine has ended
}

// newLink watches a server, until end, by asking it.
func newLink(watch func(lost error), ping func(context.Context) error) *link {
	l := &link{watch: watch, restored: make(chan struct{}), doubts: make(chan struct{}, 1), over: make(chan struct{})}
	l.ended, l.stop = context.WithCancelCause(context.Background())
	go l.run(ping)
	return l
}

func (l *link) end() {
	l.stop(broker.ErrClosed)
	<-l.over
}

func (l *link) run(ping func(context.Context) error) {
	defer close(l.over)
	ctx := l.ended
	pause := pingInterval
	timer := time.NewTimer(pause)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-l.doubts:
		case <-ctx.Done():
			return
		}
		asking, cancel := context.WithTimeout(ctx, silence)
		err := ping(asking)
		cancel()
		switch {
		case ctx.Err() != nil:
			return
		case unreachable(err):
			pause = min(max(lowestPause, 2*pause), highestPause)
			if l.set(err) {
				pause = lowestPause
			}
		default: // whatever it says, it is there
			l.set(nil)
			pause = pingInterval
		}
		timer.Reset(pause)
	}
}

// set notes the state and reports whether it has changed.
func (l *link) set(lost error) bool {
	l.mu.Lock()
	changed := (l.lost == nil) != (lost == nil)
	l.lost = lost
	if changed && lost == nil {
		close(l.restored)
		l.restored = make(chan struct{})
	}
	l.mu.Unlock()
	if changed {
		l.watch(lost)
	}
	return changed
}

// doubt is told of the error of a command, whatever it is.
func (l *link) doubt(err error) {
	if unreachable(err) {
		l.set(err)
		select {
		case l.doubts <- struct{}{}:
		default:
		}
	}
}

// await returns nil when the server can be reached, as far as is known. Its error
// says that nothing was sent.
func (l *link) await(ctx context.Context) error {
	for {
		l.mu.Lock()
		lost, restored := l.lost, l.restored
		l.mu.Unlock()
		if l.ended.Err() != nil {
			return broker.NotDelivered(broker.ErrClosed)
		}
		if lost == nil {
			return nil
		}
		select {
		case <-restored:
		case <-l.ended.Done():
			return broker.NotDelivered(broker.ErrClosed)
		case <-ctx.Done():
			return broker.NotDelivered(fmt.Errorf("%w: %w: %w", broker.ErrNotConnected, lost, context.Cause(ctx)))
		}
	}
}

// pause waits for t, unless ctx or the link ends first.
func (l *link) pause(ctx context.Context, t time.Duration) error {
	timer := time.NewTimer(t)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-l.ended.Done():
		return broker.ErrClosed
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// unreachable reports whether err is about the way to the server and not an answer
// or the end of the caller's time.
func unreachable(err error) bool {
	if err == nil || rueidis.IsRedisNil(err) || errors.Is(err, context.Canceled) || errors.Is(err, rueidis.ErrClosing) {
		return false
	}
	var timeout net.Error
	if errors.Is(err, context.DeadlineExceeded) && !errors.As(err, &timeout) {
		return false
	}
	_, answered := errors.AsType[*rueidis.RedisError](err)
	return !answered
}

// unsent reports whether a command with this error certainly never reached a server.
func unsent(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "dial"
}
