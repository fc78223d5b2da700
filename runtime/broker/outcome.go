package broker

import (
	"errors"
	"math/rand/v2"
	"time"
)

// conclude ends an attempt: the item is settled, or parked for the next one. Like all
// that it ends with, it returns with mu held.
func (s *subscription) conclude(it *item, err error) {
	switch {
	case err == nil, errors.Is(err, errSkip):
		s.finish(it, Ack, nil)
	case errors.Is(err, errGone):
		s.finish(it, forget, nil)
	case s.ctx.Err() != nil: // the drain cancelled the handler
		s.finish(it, GiveBack, err)
	case errors.Is(err, errAgain):
		s.bury(it)
	case IsPermanent(err):
		s.count(it)
		s.giveUp(it, err)
	case errors.Is(err, ErrRequeue):
		s.park(it, jitter(s.options.BackoffMin, s.options.BackoffMax, s.options.BackoffMin))
	default:
		s.failed(it, err)
	}
}

// failed counts an attempt and plans the next one.
func (s *subscription) failed(it *item, err error) {
	s.count(it)
	if limit := s.options.MaxAttempts; limit > 0 && it.raw.Failures >= limit {
		s.giveUp(it, err)
		return
	}
	delay := backoff(s.options.BackoffMin, s.options.BackoffMax, it.raw.Failures)
	if after, ok := errors.AsType[*retryAfterError](err); ok {
		delay = after.delay
	}
	m := it.delivery.Record.Message()
	s.settings.hooks.Retry(RetryInfo{
		Topic: s.topic, Queue: s.options.Queue, Message: &m,
		Attempt: it.raw.Failures, Delay: delay, Err: err,
	})
	s.park(it, delay)
}

// count counts a failed attempt, if the handler was called at all. The mutex is
// for those who look at what is held meanwhile.
func (s *subscription) count(it *item) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if it.handled {
		it.raw.Failures++
	}
}

// park lets an item wait for its retry. It keeps its key and gives up its slot.
// During a drain it goes back instead.
func (s *subscription) park(it *item, delay time.Duration) {
	s.mu.Lock()
	if s.stopping {
		s.mu.Unlock()
		s.finish(it, GiveBack, nil)
		return
	}
	s.running--
	if delay <= 0 {
		s.holdings.makeReady(it)
		return // the worker that called looks for work next
	}
	it.state = itemParked
	it.timer = time.AfterFunc(delay, func() { s.unpark(it) })
}

func (s *subscription) unpark(it *item) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if it.state != itemParked || s.stopping { // a drain took it
		return
	}
	it.timer = nil
	s.holdings.makeReady(it)
	s.callWorker()
}

// forget is the outcome of a delivery whose connection is gone: nobody is told.
const forget Outcome = 0

// finish settles an item that is running and lets go of it. Those behind its
// key may start only then; during a drain they go back instead.
func (s *subscription) finish(it *item, o Outcome, cause error) {
	s.settle(it, o, cause)
	s.mu.Lock()
	s.running--
	s.holdings.remove(it)
	s.holdings.recycle(it)
	if s.stopping {
		s.giveBackLate()
	}
}

// settle tells the transport. What cannot be told is delivered again.
func (s *subscription) settle(it *item, o Outcome, cause error) {
	if s.log != nil {
		s.log.settle(it.place, o, cause, s.settleNow)
	} else {
		s.settleNow(&it.raw, o, cause)
	}
}

func (s *subscription) settleNow(r *Raw, o Outcome, cause error) {
	if o == forget {
		return
	}
	err := s.source.Settle(s.settling, r, o, cause)
	if err != nil && !errors.Is(err, ErrStale) {
		s.settings.logger.Warn("broker: settle failed; the message will be delivered again",
			"topic", s.topic, "queue", s.options.Queue, "key", r.Key, "outcome", o, "error", err)
	}
}

// backoff is the delay after the given number of failures: lowest doubled each
// time, at most highest.
func backoff(lowest, highest time.Duration, failures int) time.Duration {
	d := lowest
	for range failures - 1 {
		if d >= highest/2 {
			d = highest
			break
		}
		d *= 2
	}
	return jitter(lowest, highest, d)
}

// jitter spreads d by a quarter up and down within the bounds.
func jitter(lowest, highest, d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	from, to := max(lowest, d*3/4), min(highest, d+d/4)
	return from + rand.N(to-from+1)
}
