package httpbroker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// attemptTimeout is how long a member may be silent: it says every second that
// the messages it has are alive.
const attemptTimeout = 3 * time.Second

var (
	errSilent          = errors.New("no answer")
	errIncomplete      = errors.New("answer is incomplete")
	errPublisherClosed = errors.New("publisher closed")
)

// kind is what became of a message at one member.
type kind uint8

const (
	done     kind = iota // it was handled, or accepted
	rejected             // refused for good
	unsent               // certainly not taken: no connection, or given up before
	leaving              // certainly not taken: the member is gone or going
	full                 // certainly not taken: the member has no room
	failed               // certainly not taken: the member has a problem
	cut                  // perhaps taken: the connection or the time ended
)

// verdict is the answer to one message.
type verdict struct {
	kind kind
	err  error
}

// flight is one request and its messages.
type flight struct {
	endpoint *endpoint
	calls    []*call
	body     []byte

	// The mutex of the endpoint guards the rest.
	open    int // calls that are neither admitted nor settled
	present int // calls that somebody waits for
	cancel  context.CancelCauseFunc
	passed  bool // the next flight may depart
	left    bool // the member said that it is leaving
}

// newFlight makes a request. Its messages are copied, so that callers may leave.
// The caller holds the mutex of ep.
func newFlight(ep *endpoint, calls []*call, size int) *flight {
	f := &flight{endpoint: ep, calls: calls, open: len(calls), present: len(calls)}
	head := frame{topic: ep.entry.Topic, queue: ep.entry.Queue, instance: ep.entry.Instance, level: ep.publisher.level}
	f.body = appendFrameHead(bodies.get(size+len(head.topic)+len(head.queue)+len(head.instance)+32), &head)
	for _, c := range calls {
		f.body = append(f.body, c.message.encoded...)
		c.flight = f
	}
	return f
}

// leave counts a caller who waits no more. The last one ends the request. The
// caller holds the mutex of the endpoint.
func (f *flight) leave() {
	if f.present--; f.present == 0 && f.cancel != nil {
		f.cancel(context.Canceled)
	}
}

// fly sends the request and reads its answer. It returns when each call has a
// verdict.
func (f *flight) fly(ctx context.Context) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	f.endpoint.mu.Lock()
	f.cancel = cancel
	if f.present == 0 {
		cancel(context.Canceled)
	}
	f.endpoint.mu.Unlock()
	silence := time.AfterFunc(attemptTimeout, func() { cancel(errSilent) })
	err := f.exchange(ctx, silence)
	silence.Stop()
	f.end(f.explain(ctx, err))
}

// explain says what an exchange that ended before all results means for the
// messages without one.
func (f *flight) explain(ctx context.Context, err error) verdict {
	if err == nil {
		err = errIncomplete
	}
	if bad, ok := errors.AsType[*refusalError](err); ok {
		return verdict{bad.kind, err}
	}
	if dial, ok := errors.AsType[*dialError](err); ok {
		return verdict{unsent, dial}
	}
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return verdict{cut, err}
}

// exchange sends the request and hands out results until the answer ends.
func (f *flight) exchange(ctx context.Context, silence *time.Timer) error {
	req := f.endpoint.request.WithContext(ctx)
	req.ContentLength = int64(len(f.body))
	req.Body = io.NopCloser(bytes.NewReader(f.body)) // of a kind that is sent together with the headers
	req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(f.body)), nil }
	resp, err := f.endpoint.publisher.transport.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // it was read as far as it makes sense
	silence.Reset(attemptTimeout)
	if resp.StatusCode != http.StatusOK {
		return refusalOf(resp)
	}
	if ct := resp.Header.Get("Content-Type"); ct != resultType {
		return errors.New("answer is not of this protocol")
	}
	return f.read(resp.Body, silence)
}

// read hands out results as they come.
func (f *flight) read(body io.Reader, silence *time.Timer) error {
	buf := *buffers.Get().(*[]byte) //nolint:forcetypeassert // it holds nothing else
	defer func() { buffers.Put(&buf) }()
	filled := 0
	for {
		n, err := body.Read(buf[filled:])
		if n > 0 {
			silence.Reset(attemptTimeout)
			filled += n
			used, parseErr := f.results(buf[:filled])
			if parseErr != nil {
				return parseErr
			}
			filled = copy(buf, buf[used:filled])
		}
		switch {
		case errors.Is(err, io.EOF):
			if f.finished() {
				bodies.put(f.body) // the member has read all of it
			}
			return nil
		case err != nil:
			return err
		}
	}
}

// results hands out the results in b and returns how much of it that was.
func (f *flight) results(b []byte) (int, error) {
	ep := f.endpoint
	ep.mu.Lock()
	defer ep.mu.Unlock()
	used := 0
	for used < len(b) {
		r, n, err := cutResult(b[used:])
		if err != nil {
			return used, err
		}
		if n == 0 {
			break
		}
		used += n
		if r.index >= len(f.calls) {
			return used, fmt.Errorf("%w: index", errResult)
		}
		f.result(f.calls[r.index], r)
	}
	if f.left {
		ep.health.fail(leaving)
	} else {
		ep.health.succeed()
	}
	if f.open == 0 && !f.passed {
		f.pass()
	}
	return used, nil
}

// result notes the result of one message.
func (f *flight) result(c *call, r result) {
	if !c.admitted {
		c.admitted = true
		f.open--
	}
	if r.status == http.StatusAccepted && f.endpoint.publisher.level == Handled {
		return
	}
	v := verdictOf(r)
	f.left = f.left || v.kind == leaving
	f.settle(c, v)
}

// settle gives a call its verdict, once.
func (f *flight) settle(c *call, v verdict) {
	if !c.settled {
		c.settled = true
		c.verdict <- v
	}
}

func (f *flight) finished() bool {
	f.endpoint.mu.Lock()
	defer f.endpoint.mu.Unlock()
	for _, c := range f.calls {
		if !c.settled {
			return false
		}
	}
	return true
}

// pass lets the next flight depart. The caller holds the mutex of the endpoint.
func (f *flight) pass() {
	f.passed = true
	if len(f.endpoint.waiting) > 0 {
		go f.endpoint.next()
		return
	}
	f.endpoint.busy = false
}

// end gives v to all that have no verdict.
func (f *flight) end(v verdict) {
	ep := f.endpoint
	ep.mu.Lock()
	defer ep.mu.Unlock()
	missing := false
	for _, c := range f.calls {
		if !c.settled {
			missing = true
			f.settle(c, v)
		}
	}
	if missing && !isContext(v.err) { // a caller who left says nothing about the member
		ep.health.fail(v.kind)
	}
	ep.flights--
	switch {
	case !f.passed:
		f.pass()
	case !ep.busy && len(ep.waiting) > 0: // they waited for a flight to end
		ep.busy = true
		go ep.next()
	}
}

func isContext(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

func verdictOf(r result) verdict {
	switch r.status {
	case http.StatusOK, http.StatusAccepted:
		return verdict{kind: done}
	default:
		return verdict{kindOf(r.status), &statusError{r.status, r.reason}}
	}
}

// kindOf returns what a status says about a message.
func kindOf(status int) kind {
	switch status {
	case http.StatusNotFound, http.StatusMisdirectedRequest, http.StatusServiceUnavailable:
		return leaving
	case http.StatusTooManyRequests:
		return full
	case http.StatusRequestTimeout, http.StatusTooEarly:
		return failed
	}
	if status >= 500 {
		return cut // perhaps it was taken before
	}
	if status >= 400 && status < 500 {
		return rejected
	}
	return failed
}

// statusError is a status that a member answered with.
type statusError struct {
	status int
	reason string
}

func (e *statusError) Error() string {
	text := fmt.Sprintf("answer %d %s", e.status, http.StatusText(e.status))
	if e.reason != "" {
		text += ": " + e.reason
	}
	return text
}

// refusalError is an answer to a request as a whole.
type refusalError struct {
	statusError
	kind kind
}

func refusalOf(resp *http.Response) error {
	reason, err := io.ReadAll(io.LimitReader(resp.Body, maxReasonBytes))
	if err != nil {
		reason = nil
	}
	return &refusalError{statusError{resp.StatusCode, printable(reason)}, kindOf(resp.StatusCode)}
}

// printable keeps of a text what can do no harm in a log.
func printable(text []byte) string {
	return string(bytes.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, text))
}

// buffers are for reading answers.
var buffers = sync.Pool{New: func() any {
	b := make([]byte, 2*maxResultBytes)
	return &b
}}
