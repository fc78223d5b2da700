package measure

import (
	"context"
	"sync/atomic"
	"time"
)

// grace is how long a counter waits for a message after the last one came.
const grace = 3 * time.Second

// Counter counts deliveries: handlers call [Counter.Add], and [Counter.Wait] is the
// Delivered of their side.
type Counter struct {
	count   atomic.Int64
	target  atomic.Int64
	reached chan struct{}
	taken   int64
}

// NewCounter returns one that has counted nothing.
func NewCounter() *Counter { return &Counter{reached: make(chan struct{}, 1)} }

// Add counts a delivery. It may be called concurrently.
func (c *Counter) Add() {
	if c.count.Add(1) == c.target.Load() {
		select {
		case c.reached <- struct{}{}:
		default:
		}
	}
}

// Count returns how many were counted so far.
func (c *Counter) Count() int { return int(c.count.Load()) }

// Wait waits until want more deliveries were counted than at its last return, or until
// none comes any more, and returns how many there were.
func (c *Counter) Wait(ctx context.Context, want int) (int, error) {
	c.target.Store(c.taken + int64(want))
	idle := time.NewTimer(grace)
	defer idle.Stop()
	for seen := c.taken; c.count.Load() < c.target.Load(); {
		select {
		case <-c.reached:
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-idle.C:
			if now := c.count.Load(); now == seen {
				return c.take(), nil
			} else {
				seen = now
			}
			idle.Reset(grace)
		}
	}
	return c.take(), nil
}

// take returns what was counted since it was last called.
func (c *Counter) take() int {
	now := c.count.Load()
	n := now - c.taken
	c.taken = now
	return int(n)
}
