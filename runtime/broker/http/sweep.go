package httpbroker

import (
	"context"
	"slices"
	"time"
)

// sweepInterval is how late a message may be given up whose deadline no context
// has. One timer for all messages of an endpoint costs nothing, one for each does.
const sweepInterval = time.Second

// startSweeper sees to it that deadlines are watched. The caller holds mu.
func (ep *endpoint) startSweeper() {
	if !ep.swept {
		ep.swept = true
		ep.sweeper.Reset(sweepInterval)
	}
}

// sweep gives up what is past its deadline.
func (ep *endpoint) sweep() {
	ep.mu.Lock()
	defer ep.mu.Unlock()
	now := time.Now()
	ep.waiting = slices.DeleteFunc(ep.waiting, func(c *call) bool {
		late := now.After(c.deadline)
		if late {
			c.verdict <- verdict{unsent, context.DeadlineExceeded}
		}
		return late
	})
	for _, f := range ep.aloft {
		for _, c := range f.calls {
			if c != nil && now.After(c.deadline) {
				f.leave(c)
				c.verdict <- verdict{cut, context.DeadlineExceeded}
			}
		}
	}
	if ep.swept = len(ep.waiting)+len(ep.aloft) > 0; ep.swept {
		ep.sweeper.Reset(sweepInterval)
	}
}
