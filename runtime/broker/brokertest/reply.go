package brokertest

import (
	"context"
	"slices"
	"sync"
	"time"
)

// gate holds handlers up until it is opened, or the test ends.
type gate struct {
	env  *env
	open chan struct{}
	once sync.Once
}

func (e *env) gate() *gate { return &gate{env: e, open: make(chan struct{})} }

// release opens the gate for good.
func (g *gate) release() { g.once.Do(func() { close(g.open) }) }

// pass waits for the gate, whatever becomes of the handler's context.
func (g *gate) pass() error {
	select {
	case <-g.open:
		return nil
	case <-g.env.Context().Done():
		return g.env.Context().Err()
	}
}

// passOr waits for the gate, or for the end of ctx.
func (g *gate) passOr(ctx context.Context) error {
	select {
	case <-g.open:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-g.env.Context().Done():
		return g.env.Context().Err()
	}
}

// hold is a reply that waits at the gate with the messages of these ids, or with
// all when there are none.
func (g *gate) hold(ids ...string) reply {
	return func(_ context.Context, c call) error {
		if len(ids) == 0 || slices.Contains(ids, c.id) {
			return g.pass()
		}
		return nil
	}
}

// pause makes a handler slow.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// failTimes is a reply that fails the first n attempts of each message of these
// ids, or of all when there are none.
func failTimes(n int, ids ...string) reply {
	return func(_ context.Context, c call) error {
		if c.attempt <= n && (len(ids) == 0 || slices.Contains(ids, c.id)) {
			return errFailed
		}
		return nil
	}
}
