package broker

import (
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
)

// errGoexit is the failure of a handler that ended its goroutine, as
// testing.T.FailNow does.
var errGoexit = errors.New("handler called runtime.Goexit")

// attempt handles an item once and decides what becomes of it. It returns with mu held.
func (s *subscription) attempt(it *item) {
	returned := false
	defer func() {
		if !returned {
			s.concludeWatched(it, errGoexit)
			s.replaceWorker()
			s.mu.Unlock()
		}
	}()
	err := s.try(it)
	returned = true
	s.concludeWatched(it, err)
}

// concludeWatched is conclude, and tells a source that wants to know that an attempt is
// over. It returns with mu held.
func (s *subscription) concludeWatched(it *item, err error) {
	if s.watcher == nil {
		s.conclude(it, err)
		return
	}
	raw := it.raw // the item is another one when it was settled; to copy it costs
	s.conclude(it, err)
	if errors.Is(err, errGone) {
		return
	}
	s.mu.Unlock()
	s.watcher.EndAttempt(raw)
	s.mu.Lock()
}

// gone reports whether the transport delivers an item again, to whomever.
func (s *subscription) gone(it *item) bool {
	return s.stale != nil && s.stale.Stale(&it.raw) ||
		s.watcher != nil && !s.watcher.BeginAttempt(&it.raw)
}

// replaceWorker ends a worker whose goroutine is about to end. The caller holds mu.
func (s *subscription) replaceWorker() {
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
	if s.gone(it) {
		return errGone
	}
	if it.poison != nil {
		return errAgain
	}
	if limit := s.options.MaxDeliveries; limit > 0 && it.raw.Deliveries > limit {
		return Permanent(fmt.Errorf("delivered %d times, more than MaxDeliveries %d", it.raw.Deliveries, limit))
	}
	d := &it.delivery
	if err := s.load(it, &d.Record); err != nil {
		return err
	}
	it.handled = true
	d.Topic, d.Attempt = s.topic, it.raw.Failures+1
	return s.call(d)
}

// load sets r to the record as it was published.
func (s *subscription) load(it *item, r *Record) (err error) {
	if *r, err = s.source.Load(&it.raw); err != nil {
		return Permanent(fmt.Errorf("decode: %w", err))
	}
	if !mayHaveOwn(r.Header) {
		return nil
	}
	if queue, ok := r.Get(redriveHeader); ok {
		if queue != s.options.Queue {
			return errSkip
		}
		r.Header = without(r.Header, redriveHeader)
	}
	if r.Header, err = decodeHeaders(r.Header); err != nil {
		return Permanent(err)
	}
	return nil
}

// without returns a list that lacks the headers called names.
func without(header []Field, names ...string) []Field {
	return slices.DeleteFunc(slices.Clone(header), func(f Field) bool { return slices.Contains(names, f.Name) })
}

func (s *subscription) call(d *RecordDelivery) (err error) {
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
