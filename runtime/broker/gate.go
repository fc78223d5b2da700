package broker

import (
	"context"
	"sync"
)

// gate counts the calls that are inside, and can be shut. The zero gate is shut.
type gate struct {
	mu     sync.RWMutex // held for reading by enter only, so that shut sees every call
	passes *passes
}

// passes are the calls let in between one open and its shut.
type passes struct {
	sync.WaitGroup
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.passes = new(passes)
}

// enter returns nil when the gate is shut; otherwise the caller must call Done.
func (g *gate) enter() *passes {
	g.mu.RLock()
	defer g.mu.RUnlock()
	if g.passes != nil {
		g.passes.Add(1)
	}
	return g.passes
}

// shut lets nobody in any more and waits until ctx ends for those inside.
func (g *gate) shut(ctx context.Context) error {
	g.mu.Lock()
	inside := g.passes
	g.passes = nil
	g.mu.Unlock()
	if inside == nil {
		return nil
	}
	left := make(chan struct{})
	go func() {
		inside.Wait()
		close(left)
	}()
	select {
	case <-left:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
