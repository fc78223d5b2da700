package httpbroker

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"
)

// attemptTimeout is how long a member may be silent: it says every second that
// the messages it has are alive.
const attemptTimeout = 3 * time.Second

var (
	errSilent          = errors.New("no answer")
	errIncomplete      = errors.New("answer is incomplete")
	errPublisherClosed = errors.New("publisher closed")
	errProtocol        = errors.New("answer is not of this protocol")
)

// flight is one request and its messages.
type flight struct {
	endpoint *endpoint
	calls    []*call // nil for those that are settled
	buffer   []byte  // prefixRoom, and the frame
	own      bool    // it has a goroutine of its own
	framed   bool    // its answer is in frames
	onward   bool    // its goroutine lets the next flight depart
	over     bool    // it needs no more of its answer

	// The mutex of the endpoint guards the rest.
	open    int   // calls that are neither admitted nor settled
	unsaid  int   // calls without a verdict
	present int   // calls that somebody waits for
	passed  bool  // the next flight may depart
	left    bool  // the member said that it is leaving
	refusal error // of the request as a whole
	cancel  context.CancelFunc
}

// newFlight makes a request. Its messages are copied, so that callers may leave.
// The caller holds the mutex of ep.
func newFlight(ep *endpoint, calls []*call, size int) *flight {
	n := len(calls)
	f := &flight{endpoint: ep, calls: calls, open: n, unsaid: n, present: n}
	f.buffer = bodies.get(prefixRoom + len(ep.head) + size)[:prefixRoom]
	f.buffer = append(f.buffer, ep.head...)
	for i, c := range calls {
		f.buffer = append(f.buffer, c.message.encoded...)
		c.flight, c.index = f, i
	}
	return f
}

// leave settles the call of somebody who waits no more. When nobody does, the
// request ends. The caller holds the mutex of the endpoint.
func (f *flight) leave(c *call) {
	f.settled(c)
	if f.present--; f.present == 0 && f.cancel != nil {
		f.cancel()
	}
}

// settled lets go of a call.
func (f *flight) settled(c *call) {
	if !c.admitted {
		f.open--
	}
	f.unsaid--
	f.calls[c.index] = nil
	c.flight = nil
}

// flyAlone is fly in a goroutine of its own, and then those flights that wait for
// this one. F may be nil.
func (f *flight) flyAlone() {
	for f != nil {
		f.own = true
		f.flyUntilLeft()
		if !f.onward {
			return
		}
		f = f.endpoint.next()
	}
}

// flyUntilLeft is fly until nobody waits for the flight.
func (f *flight) flyUntilLeft() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	f.endpoint.mu.Lock()
	f.cancel = cancel
	if f.present == 0 {
		cancel()
	}
	f.endpoint.mu.Unlock()
	f.fly(ctx, time.Time{})
}

// fly sends the request and reads its answer. It returns when each call has a
// verdict.
func (f *flight) fly(ctx context.Context, deadline time.Time) {
	err := f.exchange(ctx, deadline)
	if err == nil {
		err = errIncomplete
	}
	f.end(verdictFor(ctx, err)) //nolint:contextcheck // the next flight is nobody's
}

// verdictFor says what an exchange that ended too early means for the messages
// without a result.
func verdictFor(ctx context.Context, err error) verdict {
	if bad, ok := errors.AsType[*refusalError](err); ok {
		return verdict{bad.kind, err}
	}
	if early, ok := errors.AsType[*unsentError](err); ok {
		return verdict{unsent, early}
	}
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return verdict{cut, err}
}

// results hands out the results in b and returns how much of it that was, and
// whether the empty result is there that ends an answer.
func (f *flight) results(b []byte) (used int, ended bool, err error) {
	if len(b) == 0 {
		return 0, false, nil
	}
	var room [32]said
	all := room[:0]
	defer func() {
		for _, s := range all { // without the mutex, which those who are told want at once
			s.call.verdict <- s.verdict
		}
	}()
	ep := f.endpoint
	ep.mu.Lock()
	defer ep.mu.Unlock()
	for used < len(b) && !ended {
		r, n, err := cutResult(b[used:])
		if err != nil {
			return used, false, err
		}
		if n == 0 {
			break
		}
		used += n
		switch {
		case r.status == 0:
			ended = true
		case r.whole:
			f.refusal = &refusalError{statusError{r.status, printable([]byte(r.reason))}, kindOf(r.status)}
		case r.index >= len(f.calls):
			return used, false, errResult
		case f.calls[r.index] != nil:
			all = f.result(f.calls[r.index], r, all)
		}
	}
	switch {
	case f.refusal != nil: // see end
	case f.left:
		ep.health.fail(leaving)
	default:
		ep.health.succeed()
	}
	f.over = f.framed && f.unsaid == 0
	if f.open == 0 && !f.passed {
		f.pass(f.over)
	}
	return used, ended, nil
}

// said is the verdict of a call that is settled.
type said struct {
	call    *call
	verdict verdict
}

// result notes the result of one message, in all if that is its verdict.
func (f *flight) result(c *call, r result, all []said) []said {
	if r.status == http.StatusAccepted && f.endpoint.publisher.level == Handled {
		if !c.admitted {
			c.admitted = true
			f.open--
		}
		return all
	}
	v := verdictOf(r)
	f.left = f.left || v.kind == leaving
	f.settled(c)
	return append(all, said{c, v})
}

// pass lets the next flight depart, in the same goroutine when this one is over. The
// caller holds the mutex of the endpoint.
func (f *flight) pass(over bool) {
	f.passed = true
	switch {
	case len(f.endpoint.waiting) == 0:
		f.endpoint.ahead--
	case f.own && over:
		f.onward = true
	default:
		go f.endpoint.flyNext()
	}
}

// end gives v to all that have no verdict.
func (f *flight) end(v verdict) {
	ep := f.endpoint
	ep.mu.Lock()
	defer ep.mu.Unlock()
	switch {
	case f.unsaid == 0 || isContext(v.err): // a caller who left says nothing about the member
	case errors.Is(v.err, errSilent):
		ep.health.silent()
		ep.turnAway(v.err)
	case v.kind == unsent:
		ep.health.fail(unsent)
		ep.turnAway(v.err)
	default:
		ep.health.fail(v.kind)
	}
	for _, c := range f.calls {
		if c != nil {
			f.settled(c)
			c.verdict <- v
		}
	}
	bodies.put(f.buffer)
	i := slices.Index(ep.aloft, f)
	ep.aloft = slices.Delete(ep.aloft, i, i+1)
	switch {
	case !f.passed:
		f.pass(true)
	case ep.ahead == 0 && len(ep.waiting) > 0: // they waited for a flight to end
		ep.ahead++
		go ep.flyNext()
	}
}

func isContext(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}
