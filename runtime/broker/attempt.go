package broker

import (
	"errors"
	"fmt"
	"runtime/debug"
)

// errGoexit is the failure of a handler that ended its goroutine, as
// testing.T.FailNow does.
var errGoexit = errors.New("handler called runtime.Goexit")

// attempt handles an item once and decides what becomes of it.
func (s *subscription) attempt(it *item) {
	returned := false
	defer func() {
		if !returned {
			s.conclude(it, errGoexit)
			s.replaceWorker()
		}
	}()
	err := s.try(it)
	returned = true
	s.conclude(it, err)
}

// replaceWorker ends a worker whose goroutine is about to end.
func (s *subscription) replaceWorker() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leave()
	if !s.stopping {
		s.callWorker()
	}
}

// verdicts of try beside the errors of the handler.
var (
	errSkip  = errors.New("redriven to another queue")
	errGone  = errors.New("delivery belongs to an ended connection")
	errAgain = errors.New("dead letter is yet to be published")
)

func (s *subscription) try(it *item) error {
	it.handled = false
	if c, ok := s.source.(StaleChecker); ok && c.Stale(&it.raw) {
		return errGone
	}
	if it.poison != nil {
		return errAgain
	}
	if limit := s.options.MaxDeliveries; limit > 0 && it.raw.Deliveries > limit {
		return Permanent(fmt.Errorf("delivered %d times, more than MaxDeliveries %d", it.raw.Deliveries, limit))
	}
	m, err := s.load(it)
	if err != nil {
		return err
	}
	it.handled = true
	d := &Delivery{Topic: s.topic, Message: m, Attempt: it.raw.Failures + 1}
	return s.call(d)
}

// load returns a fresh copy of the message as it was published.
func (s *subscription) load(it *item) (Message, error) {
	m, err := s.source.Load(&it.raw)
	if err != nil {
		return m, Permanent(fmt.Errorf("decode: %w", err))
	}
	if queue, ok := m.Header[redriveHeader]; ok {
		if queue != s.options.Queue {
			return m, errSkip
		}
		delete(m.Header, redriveHeader)
	}
	if err := decodeHeaders(m.Header); err != nil {
		return m, Permanent(err)
	}
	return m, nil
}

func (s *subscription) call(d *Delivery) (err error) {
	panicking := true
	defer func() {
		if !panicking {
			return
		}
		if v := recover(); v != nil { // nil: the goroutine is ending
			err = &PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	err = s.handler(s.ctx, d)
	panicking = false
	return err
}
