package httpbroker

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/micro-event/micro-event/runtime/broker"
)

var errStopped = errors.New("http: source is stopped")

// source is one subscription: what arrived for it and waits for the engine, and
// what the engine holds.
type source struct {
	driver *Driver
	entry  Entry
	slots  int           // of the subscription's handlers
	wake   chan struct{} // has room for one
	work   work          // of the engine; nil if that does not borrow goroutines
	slow   atomic.Bool   // the last message that was timed took longer than patience

	mu       sync.Mutex
	arrived  []*delivery // oldest first
	returned []*delivery // accepted and given back; they go on when all are settled
	sequence uint64      // of the last that arrived
	held     int         // not settled, those that wait here included
	owed     int         // of those, the accepted ones: nobody else has them
	table    dedup
	stopped  bool
}

var (
	_ broker.Source = (*source)(nil)
	_ broker.Lender = (*source)(nil)
)

// delivery is a message that a source has.
type delivery struct {
	message
	identity   identity
	identified bool
	digest     uint64
	accepted   bool      // its publisher was told 202 and waits no more
	sequence   uint64    // place in the order of arrival
	timed      bool      // it tells how long messages take
	began      time.Time // when it was first loaded, if it is timed
	room       *room     // that its request takes

	waiting waiter   // for its result
	more    []waiter // that came later
}

// waiter is a place in an answer that waits for the result of a delivery.
type waiter struct {
	answer *answer
	index  int
}

// tell answers all who wait for d.
func (d *delivery) tell(status int, reason string) {
	if d.waiting.answer != nil {
		d.waiting.answer.finish(result{index: d.waiting.index, status: status, reason: reason})
	}
	for _, w := range d.more {
		w.answer.finish(result{index: w.index, status: status, reason: reason})
	}
}

// work lends the engine a goroutine; see [broker.Lender].
type work func(done func() bool)

// take admits the messages of a frame in their order, as many as there is room
// for, and returns the results of those that end at once and what is to be called then.
func (s *source) take(f *frame, a *answer, r *room) ([]result, work) {
	hashes := s.driver.hasher
	var ended []result
	s.mu.Lock()
	defer s.mu.Unlock()
	full := false
	all := make([]delivery, len(f.messages)) // they share the memory of the frame anyway
	for i := range f.messages {
		d := &all[i]
		d.message, d.accepted, d.room, d.timed = f.messages[i], f.level == Accepted, r, i == 0
		if d.identity, d.identified = hashes.identity(&d.message); d.identified {
			d.digest = hashes.digest(&d.message)
		}
		status, reason := s.admit(d, waiter{a, i}, &full)
		if status == 0 && d.accepted {
			status = http.StatusAccepted
		}
		if status != 0 {
			ended = append(ended, result{index: i, status: status, reason: reason})
		}
	}
	if s.work != nil {
		return ended, s.work
	}
	s.signal()
	return ended, func(func() bool) {}
}

// admit returns how a message ends at once, or 0 when it will be told later.
func (s *source) admit(d *delivery, w waiter, full *bool) (int, string) {
	if d.identified {
		if status, known := s.repeated(d, w); known {
			return status, ""
		}
	}
	switch {
	case len(d.record.Body) > s.driver.options.maxBody:
		return http.StatusRequestEntityTooLarge, "body is too large"
	case s.stopped:
		return http.StatusServiceUnavailable, "subscription ended"
	case *full || s.held >= s.driver.options.capacity:
		*full = true // so that none passes those that found no room
		return http.StatusTooManyRequests, "queue is full"
	}
	s.held++
	s.sequence++
	d.sequence = s.sequence
	d.room.hold()
	if d.accepted {
		s.owed++
	} else {
		d.waiting = w
	}
	if d.identified {
		s.table.running[d.identity] = d
	}
	s.arrived = append(s.arrived, d)
	return 0, ""
}

// repeated looks for an earlier arrival of the same message: the later one joins
// it, or learns that it is done.
func (s *source) repeated(d *delivery, w waiter) (status int, known bool) {
	if digest, ok := s.table.finished(d.identity); ok {
		if digest != d.digest {
			return http.StatusConflict, true
		}
		return http.StatusOK, true
	}
	first := s.table.running[d.identity]
	switch {
	case first == nil:
		return 0, false
	case first.digest != d.digest:
		return http.StatusConflict, true
	case d.accepted && !first.accepted:
		first.accepted = true
		s.owed++
	case d.accepted:
	default:
		first.more = append(first.more, w)
	}
	return 0, true
}

// signal wakes Receive. The caller holds mu.
func (s *source) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// LendTo implements [broker.Lender].
func (s *source) LendTo(work func(done func() bool)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.work = work
}

// Receive implements [broker.Source].
func (s *source) Receive(ctx context.Context, buf []broker.Raw) (int, error) {
	for {
		if n, err := s.receive(buf); n > 0 || err != nil || s.work != nil {
			return n, err
		}
		select {
		case <-s.wake:
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	}
}

func (s *source) receive(buf []broker.Raw) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return 0, errStopped
	}
	n := min(len(buf), len(s.arrived))
	for i, d := range s.arrived[:n] {
		buf[i] = broker.Raw{Key: d.record.Key, Value: d}
	}
	clear(s.arrived[:n])
	if s.arrived = s.arrived[n:]; len(s.arrived) == 0 {
		s.arrived = nil
	}
	return n, nil
}

// Load implements [broker.Source].
func (s *source) Load(r *broker.Raw) (broker.Record, error) {
	d := deliveryOf(r)
	if d.timed && d.began.IsZero() {
		d.began = time.Now()
	}
	return d.record, nil
}

func deliveryOf(r *broker.Raw) *delivery {
	return r.Value.(*delivery) //nolint:forcetypeassert // receive puts nothing else there
}

// Settle implements [broker.Source].
func (s *source) Settle(_ context.Context, r *broker.Raw, o broker.Outcome, cause error) error {
	d := deliveryOf(r)
	switch o {
	case broker.Ack:
		s.settle(d, http.StatusOK, "")
	case broker.Reject:
		s.settle(d, http.StatusUnprocessableEntity, shortReason(cause))
	case broker.GiveBack:
		s.settle(d, http.StatusServiceUnavailable, "subscription ended")
	}
	return nil
}

// settle ends a delivery. One that was accepted and not handled will go on to
// another member; nobody else has it.
func (s *source) settle(d *delivery, status int, reason string) {
	s.mu.Lock()
	s.held--
	switch {
	case !d.identified:
	case status == http.StatusOK:
		s.table.finish(d.identity, d.digest)
	default:
		s.table.forget(d.identity)
	}
	if d.accepted {
		s.owed--
		if status == http.StatusServiceUnavailable {
			s.returned = append(s.returned, d)
		}
	}
	s.mu.Unlock()
	if !d.began.IsZero() {
		if slow := time.Since(d.began) > patience; slow != s.slow.Load() {
			s.slow.Store(slow)
		}
	}
	d.tell(status, reason)
	d.room.release()
}

// withdraw takes back what has not begun and whose publisher is gone: it was told
// nothing and will not ask again, or sends the message anew.
func (s *source) withdraw(a *answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.arrived = slices.DeleteFunc(s.arrived, func(d *delivery) bool {
		if d.waiting.answer != a || d.accepted || len(d.more) > 0 {
			return false
		}
		s.held--
		if d.identified {
			s.table.forget(d.identity)
		}
		d.room.release()
		return true
	})
}

// Extend implements [broker.Source]. Publishers are told by the answer that
// their message is alive.
func (s *source) Extend(context.Context, []broker.Raw) {}

// Stop implements [broker.Source]. From now on publishers are sent to another
// member.
func (s *source) Stop(ctx context.Context) error {
	s.mu.Lock()
	if s.stopped {
		s.mu.Unlock()
		return nil
	}
	s.stopped = true
	unread := s.arrived
	s.arrived = nil
	s.signal()
	s.mu.Unlock()
	err := s.driver.deregister(ctx, s)
	for _, d := range unread {
		s.settle(d, http.StatusServiceUnavailable, "subscription ended")
	}
	return err
}

// Close implements [broker.Source]. What was accepted and given back goes on in
// the order in which it came.
func (s *source) Close(context.Context) error {
	s.driver.server.remove(s)
	s.mu.Lock()
	returned := s.returned
	s.returned = nil
	s.mu.Unlock()
	slices.SortFunc(returned, func(a, b *delivery) int { return cmp.Compare(a.sequence, b.sequence) })
	for _, d := range returned {
		s.driver.handOver(s.entry, &d.message)
	}
	return nil
}

// left is how many accepted messages would be lost with the process.
func (s *source) left() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.returned) + s.owed
}
