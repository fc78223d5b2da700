package broker

import (
	"errors"
	"time"
)

// callWorker makes sure that a worker looks for work. The caller holds mu.
func (s *subscription) callWorker() {
	switch {
	case s.waiting > 0:
		s.called.Signal()
	case s.workers <= s.options.MaxInFlight:
		s.workers++
		go s.work()
	}
}

// work is the life of a worker.
func (s *subscription) work() {
	s.mu.Lock()
	for {
		switch {
		case s.mayStart():
			s.startNext()
		case s.mayReceive():
			s.receive()
		case s.stopping:
			s.leave()
			s.mu.Unlock()
			return
		default:
			s.waiting++
			s.called.Wait()
			s.waiting--
		}
	}
}

// lend makes the calling goroutine a worker, until there is nothing for it to do or
// done returns true. Something has arrived at the source.
func (s *subscription) lend(done func() bool) {
	s.mu.Lock()
	s.arrivals++
	s.empty = false
	if s.stopping {
		s.mu.Unlock()
		return
	}
	s.workers++
	for more := true; more; {
		switch {
		case s.mayReceive(): // before done, so that nobody is called for nothing
			s.receive()
		case !s.mayStart():
			more = false
		case done():
			s.callWorker()
			more = false
		default:
			s.startNext()
		}
	}
	s.leave()
	s.mu.Unlock()
}

// leave ends a worker. The caller holds mu.
func (s *subscription) leave() {
	if s.workers--; s.workers == 0 && s.stopping {
		close(s.noWorkers)
	}
}

func (s *subscription) mayStart() bool {
	return s.holdings.ready.len > 0 && s.running < s.options.MaxInFlight && !s.stopping
}

func (s *subscription) mayReceive() bool {
	return !s.stopping && !s.receiving && !s.empty && !s.paused && s.room() > 0
}

// room is how many deliveries may be taken: enough to keep all handlers busy, those
// to have at hand, and no more than the window. What waits behind its key or for a
// retry fills the window but no slot (H3).
func (s *subscription) room() int {
	slots := s.options.MaxInFlight + s.options.Prefetch - s.running - s.holdings.ready.len
	return min(slots, s.options.Window-s.holdings.len)
}

// startNext runs one attempt. The caller holds mu, and again afterwards.
func (s *subscription) startNext() {
	it := s.holdings.ready.pop()
	it.state = itemRunning
	s.running++
	if s.mayStart() || s.mayReceive() {
		s.callWorker()
	}
	s.mu.Unlock()
	s.attempt(it)
}

// receive takes deliveries in. The caller holds mu, and again afterwards.
func (s *subscription) receive() {
	buf := s.receiveIn[:s.room()]
	s.receiving = true
	arrivals := s.arrivals
	s.mu.Unlock()
	n, err := s.source.Receive(s.pulling, buf)
	s.mu.Lock()
	s.receiving = false
	switch {
	case n > 0 || err != nil:
	case s.lends:
		s.empty = s.arrivals == arrivals
	default:
		err = errors.New("the source returned nothing")
	}
	for i := range buf[:n] {
		var place *logEntry
		if s.log != nil {
			place = s.log.add(buf[i])
		}
		s.holdings.add(&buf[i], place, s.clock.now())
	}
	clear(buf)
	switch {
	case s.stopping:
		s.giveBackLate()
	case err != nil:
		s.pause(err)
	default:
		s.failures = 0
	}
}

// giveBackLate returns what a Receive brought after the subscription stopped.
// The caller holds mu, and again afterwards.
func (s *subscription) giveBackLate() {
	late := s.holdings.takeUnstarted()
	s.mu.Unlock()
	for _, it := range late {
		s.settle(it, GiveBack, nil)
	}
	s.mu.Lock()
}

// pause puts off the next Receive after one that failed. The caller holds mu.
func (s *subscription) pause(err error) {
	s.failures++
	delay := backoff(DefaultBackoffMin, DefaultBackoffMax, s.failures)
	s.paused = true
	s.settings.logger.Warn("broker: receive failed", "topic", s.topic, "queue", s.options.Queue,
		"error", err, "retry_in", delay)
	time.AfterFunc(delay, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.paused = false
		if s.mayReceive() {
			s.callWorker()
		}
	})
}
