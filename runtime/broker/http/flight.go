package httpbroker

import (
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// attemptTimeout is how long a member may be silent: it says every second that
// the messages it has are alive.
const attemptTimeout = 3 * time.Second

// deadlineSlack is how much too early the deadline of a connection may be: setting
// one for each request would cost as much as parsing it.
const deadlineSlack = attemptTimeout / 10

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
	buffer   []byte  // room for a size, and the frame

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
	f.buffer = append(bodies.get(maxSizeBytes + len(ep.head) + size)[:maxSizeBytes], ep.head...)
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

// flyAlone is fly in a goroutine of its own.
func (f *flight) flyAlone() {
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

// exchange sends the request and hands out results until the answer ends. Where
// a kept connection turns out to be gone, or its certificate to be good no more, a
// new one tries: the member knows a message that it had already.
func (f *flight) exchange(ctx context.Context, deadline time.Time) error {
	c, err := f.endpoint.connect(ctx)
	if err != nil {
		return err
	}
	reused := c.reused // afterwards it is somebody else's
	err = f.exchangeOn(ctx, c, deadline)
	if !reused || !errors.Is(err, errNoAnswer) && !isUnauthorized(err) || ctx.Err() != nil {
		return err
	}
	fresh, dialErr := f.endpoint.dial(ctx)
	if dialErr != nil {
		return errors.Join(err, errors.Unwrap(dialErr)) // no longer certain
	}
	return f.exchangeOn(ctx, fresh, deadline)
}

func isUnauthorized(err error) bool {
	refused, ok := errors.AsType[*refusalError](err)
	return ok && refused.status == http.StatusUnauthorized
}

// exchangeOn uses a connection, and keeps it if it can be used again.
func (f *flight) exchangeOn(ctx context.Context, c *conn, deadline time.Time) error {
	stop := func() bool { return true }
	if ctx.Done() != nil {
		stop = context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) }) //nolint:errcheck // it is about to be closed
	}
	reusable, err := f.converse(ctx, c, deadline)
	if !stop() || !reusable {
		c.Close() //nolint:errcheck // what it has to say was said
	} else {
		f.endpoint.keep(c)
	}
	return err
}

// converse sends the request and hands out the results of its answer.
func (f *flight) converse(ctx context.Context, c *conn, deadline time.Time) (reusable bool, err error) {
	if err := c.await(ctx, deadline); err != nil {
		return false, &unsentError{err}
	}
	if c.upgraded {
		return f.converseInFrames(ctx, c, deadline)
	}
	return f.converseInHTTP(ctx, c, deadline)
}

func (f *flight) converseInHTTP(ctx context.Context, c *conn, deadline time.Time) (reusable bool, err error) {
	request, err := f.endpoint.request(ctx, f.buffer[maxSizeBytes:])
	if err != nil {
		return true, &unsentError{err}
	}
	writeErr := c.write(request)
	bodies.put(request)
	if _, ok := errors.AsType[*unsentError](writeErr); ok && !c.reused {
		return false, writeErr
	}
	if results, ok := c.quickAnswer(); ok {
		used, ended, err := f.results(results) //nolint:contextcheck // as in fly
		return err == nil && used == len(results) && !ended, err
	}
	resp, err := c.answer() //nolint:bodyclose // the connection is what is closed; a server may refuse a request that it has not read
	if err != nil {
		return false, c.explain(deadline, errors.Join(err, writeErr))
	}
	switch {
	case resp.StatusCode == http.StatusSwitchingProtocols && isOurs(resp):
		c.upgraded = true
		reusable, err = f.readFrames(ctx, c, deadline)
		return reusable && writeErr == nil, c.explain(deadline, err)
	case resp.StatusCode != http.StatusOK:
		reusable, err = refusalOf(resp)
	case resp.Header.Get("Content-Type") != resultType:
		return false, errProtocol
	default:
		if isOurs(resp) {
			f.endpoint.upgrades.Store(true)
		}
		err = c.explain(deadline, f.read(ctx, c, resp.Body, deadline))
		reusable = err == nil
	}
	return reusable && !resp.Close && writeErr == nil && c.reader.Buffered() == 0, err
}

// isOurs reports whether an answer offers or makes the change to frames.
func isOurs(resp *http.Response) bool { return resp.Header.Get("Upgrade") == upgradeToken }

// converseInFrames is converse on a connection that was upgraded.
func (f *flight) converseInFrames(ctx context.Context, c *conn, deadline time.Time) (reusable bool, err error) {
	size := len(f.buffer) - maxSizeBytes
	from := maxSizeBytes - protowire.SizeVarint(uint64(size))
	protowire.AppendVarint(f.buffer[from:from], uint64(size))
	writeErr := c.write(f.buffer[from:])
	c.limited.N = math.MaxInt64
	if _, err := c.reader.Peek(1); err != nil {
		return false, c.explain(deadline, errors.Join(errNoAnswer, err, writeErr))
	}
	reusable, err = f.readFrames(ctx, c, deadline)
	return reusable && writeErr == nil, c.explain(deadline, err)
}

// readFrames hands out results as they come, until the one that ends the answer.
func (f *flight) readFrames(ctx context.Context, c *conn, deadline time.Time) (reusable bool, err error) {
	for want := 1; ; {
		if _, err := c.reader.Peek(want); err != nil {
			return false, err
		}
		arrived, err := c.reader.Peek(c.reader.Buffered())
		if err != nil {
			return false, err
		}
		used, ended, err := f.results(arrived) //nolint:contextcheck // as in fly
		if err != nil {
			return false, err
		}
		if _, err := c.reader.Discard(used); err != nil {
			return false, err
		}
		want = c.reader.Buffered() + 1
		if ended {
			return want == 1, f.refusal
		}
		if err := c.await(ctx, deadline); err != nil {
			return false, err
		}
	}
}

// await gives the member time for the next part of its answer.
func (c *conn) await(ctx context.Context, deadline time.Time) error {
	next, slack := time.Now().Add(attemptTimeout), deadlineSlack
	if !deadline.IsZero() && deadline.Before(next) {
		next, slack = deadline, 0
	}
	if late := next.Sub(c.readBy); late < 0 || late > slack {
		if err := c.SetReadDeadline(next); err != nil {
			return err
		}
		c.readBy = next
	}
	return ctx.Err() // after it: were ctx to end now, its function would set another deadline
}

// explain gives the end of a deadline its name. It returns nil when err is nil.
func (c *conn) explain(deadline time.Time, err error) error {
	timeout, ok := errors.AsType[interface {
		error
		Timeout() bool
	}](err)
	switch {
	case !ok || !timeout.Timeout():
		return err
	case !deadline.IsZero() && !time.Now().Before(deadline):
		return context.DeadlineExceeded
	}
	return errSilent
}

// read hands out results as they come.
func (f *flight) read(ctx context.Context, c *conn, body io.Reader, deadline time.Time) error {
	pooled := buffers.Get().(*[]byte) //nolint:forcetypeassert // it holds nothing else
	defer buffers.Put(pooled)
	buf := *pooled
	filled := 0
	for {
		n, err := body.Read(buf[filled:])
		filled += n
		used, ended, parseErr := f.results(buf[:filled]) //nolint:contextcheck // as in fly
		if parseErr != nil || ended {
			return errors.Join(errResult, parseErr)
		}
		filled = copy(buf, buf[used:filled])
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		if err := c.await(ctx, deadline); err != nil {
			return err
		}
	}
}

// results hands out the results in b and returns how much of it that was, and
// whether the empty result is there that ends an answer.
func (f *flight) results(b []byte) (used int, ended bool, err error) {
	if len(b) == 0 {
		return 0, false, nil
	}
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
			f.result(f.calls[r.index], r)
		}
	}
	switch {
	case f.refusal != nil: // see end
	case f.left:
		ep.health.fail(leaving)
	default:
		ep.health.succeed()
	}
	if f.open == 0 && !f.passed {
		f.pass()
	}
	return used, ended, nil
}

// result notes the result of one message.
func (f *flight) result(c *call, r result) {
	if r.status == http.StatusAccepted && f.endpoint.publisher.level == Handled {
		if !c.admitted {
			c.admitted = true
			f.open--
		}
		return
	}
	v := verdictOf(r)
	f.left = f.left || v.kind == leaving
	f.settled(c)
	c.verdict <- v
}

// pass lets the next flight depart. The caller holds the mutex of the endpoint.
func (f *flight) pass() {
	f.passed = true
	if len(f.endpoint.waiting) > 0 {
		go f.endpoint.next()
		return
	}
	f.endpoint.ahead--
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
		f.pass()
	case ep.ahead == 0 && len(ep.waiting) > 0: // they waited for a flight to end
		ep.ahead++
		go ep.next()
	}
}

func isContext(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// buffers are for reading answers.
var buffers = sync.Pool{New: func() any {
	b := make([]byte, 2*maxResultBytes)
	return &b
}}
