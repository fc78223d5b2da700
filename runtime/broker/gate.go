package broker

import (
	"context"
	"math"
	"sync"
	"sync/atomic"
)

// gate counts the calls that are inside, and can be shut. The zero gate is shut.
type gate struct{ passes atomic.Pointer[passes] }

// passes are the calls let in between one open and its shut. Publishers write here
// all the time, which costs them several times more when others write to the same
// cache line.
type passes struct {
	_      [64]byte
	inside atomic.Int64  // how many calls are inside; below shutBias once shut
	left   chan struct{} // closed when shut and nobody is inside
	once   sync.Once     // for left
	_      [64]byte
}

// shutBias is added to passes.inside by shut: a call that finds it negative is
// late and leaves again.
const shutBias = math.MinInt64 / 2

func (g *gate) open() { g.passes.Store(&passes{left: make(chan struct{})}) }

// enter returns nil when the gate is shut; otherwise the caller must call Done.
func (g *gate) enter() *passes {
	p := g.passes.Load()
	if p == nil {
		return nil
	}
	if p.inside.Add(1) < 0 {
		p.Done()
		return nil
	}
	return p
}

// Done ends a call that enter let in.
func (p *passes) Done() {
	if p.inside.Add(-1) == shutBias {
		p.once.Do(func() { close(p.left) })
	}
}

// shut lets nobody in any more and waits until ctx ends for those inside.
func (g *gate) shut(ctx context.Context) error {
	p := g.passes.Swap(nil)
	if p == nil || p.inside.Add(shutBias) == shutBias {
		return nil
	}
	select {
	case <-p.left:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
