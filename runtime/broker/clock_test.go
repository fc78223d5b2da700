package broker

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestClock looks at the time now and then, and is behind by less than a step.
func TestClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		c := newClock()
		defer c.stop()
		for _, wait := range []time.Duration{0, 1, clockStep - 2, 1, clockStep / 2, time.Hour, clockStep, clockStep - 1} {
			time.Sleep(wait)
			synctest.Wait()
			if late := time.Since(c.time(c.now())); late < 0 || late >= clockStep {
				t.Errorf("after %v the clock is %v late, want less than %v", time.Since(began), late, clockStep)
			}
		}
	})
}

// TestClockRests wakes nobody while nobody asks.
func TestClockRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClock()
		defer c.stop()
		time.Sleep(time.Hour)
		synctest.Wait()
		if c.timer.Stop() {
			t.Error("a timer runs for a clock that nobody looks at")
		}
	})
}
