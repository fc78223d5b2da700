package broker

import (
	"sync/atomic"
	"time"
)

// clockStep is how often a clock looks at the time at most.
const clockStep = 50 * time.Millisecond

// clock tells the time to within clockStep. To look at the time for each delivery would
// take as long as a queue in memory takes for all that it does.
type clock struct {
	started time.Time
	elapsed time.Duration // since then, when it looked last
	current atomic.Bool   // that is less than clockStep ago
	timer   *time.Timer   // clears current
}

func newClock() *clock {
	c := &clock{started: time.Now()}
	c.current.Store(true)
	c.timer = time.AfterFunc(clockStep, func() { c.current.Store(false) })
	return c
}

// now returns how long ago the clock was started, or up to clockStep less. It must not
// be called concurrently, nor after stop.
func (c *clock) now() time.Duration {
	if !c.current.Load() {
		c.current.Store(true)
		c.elapsed = time.Since(c.started)
		c.timer.Reset(clockStep)
	}
	return c.elapsed
}

// time returns what time it was when now returned elapsed.
func (c *clock) time(elapsed time.Duration) time.Time { return c.started.Add(elapsed) }

func (c *clock) stop() { c.timer.Stop() }
