package httpbroker

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// deadlineSlack is how much too early the deadline of a connection may be.
const deadlineSlack = attemptTimeout / 10

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
	request, err := f.endpoint.request(ctx, f.buffer[prefixRoom:])
	if err != nil {
		return true, &unsentError{err}
	}
	c.limited.N = maxAnswerHead // until answer has read it
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
	case resp.StatusCode == http.StatusSwitchingProtocols && isUpgrade(resp.Header):
		c.upgraded = true
		reusable, err = f.readFrames(ctx, c, deadline)
		return reusable && writeErr == nil, c.explain(deadline, err)
	case resp.StatusCode != http.StatusOK:
		reusable, err = refusalOf(resp)
	case resp.Header.Get("Content-Type") != resultType:
		return false, errProtocol
	default:
		if isUpgrade(resp.Header) {
			f.endpoint.upgrades.Store(true)
		}
		err = c.explain(deadline, f.read(ctx, c, resp.Body, deadline))
		reusable = err == nil
	}
	return reusable && !resp.Close && writeErr == nil && c.reader.Buffered() == 0, err
}

// isUpgrade reports whether a header offers, asks for or makes the change to frames.
// Some proxies pass on Upgrade, but then not Connection.
func isUpgrade(h http.Header) bool {
	return h.Get("Upgrade") == upgradeToken && strings.EqualFold(h.Get("Connection"), "Upgrade")
}

// converseInFrames is converse on a connection that was upgraded.
func (f *flight) converseInFrames(ctx context.Context, c *conn, deadline time.Time) (reusable bool, err error) {
	request, whole, err := f.inFrames(ctx)
	if err != nil {
		return true, &unsentError{err}
	}
	writeErr := c.write(request)
	if whole != nil {
		bodies.put(whole)
	}
	if _, err := c.reader.Peek(1); err != nil {
		return false, c.explain(deadline, errors.Join(errNoAnswer, err, writeErr))
	}
	reusable, err = f.readFrames(ctx, c, deadline)
	return reusable && writeErr == nil, c.explain(deadline, err)
}

// prefixRoom is room before a frame for its size, and for that of an empty head.
const prefixRoom = 1 + maxSizeBytes

// inFrames returns the request as it is sent on a connection that was upgraded, in a
// buffer of its own, whole, if that is not the one of the flight.
func (f *flight) inFrames(ctx context.Context) (request, whole []byte, err error) {
	frame := f.buffer[prefixRoom:]
	if !f.endpoint.publisher.options.wantsCredentials() {
		from := putSize(f.buffer, prefixRoom, len(frame)) - 1
		f.buffer[from] = 0
		return f.buffer[from:], nil, nil
	}
	b := bodies.get(prefixRoom + len(frame) + 512)[:prefixRoom]
	b, err = f.endpoint.publisher.appendCredentials(ctx, b, frame)
	if err != nil {
		return nil, nil, err
	}
	from := putSize(b, prefixRoom, len(b)-prefixRoom)
	b = append(protowire.AppendVarint(b, uint64(len(frame))), frame...)
	return b[from:], b, nil
}

// putSize writes a size so that it ends at the index end of b, and returns where it
// begins.
func putSize(b []byte, end, size int) int {
	from := end - protowire.SizeVarint(uint64(size))
	protowire.AppendVarint(b[from:from], uint64(size))
	return from
}

// readFrames hands out results as they come, until the one that ends the answer or
// nobody waits for more.
func (f *flight) readFrames(ctx context.Context, c *conn, deadline time.Time) (reusable bool, err error) {
	f.framed = true
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
		if ended || f.over {
			return ended && want == 1, f.refusal
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
	if err := moveDeadline(&c.readBy, next, slack, c.SetReadDeadline); err != nil {
		return err
	}
	return ctx.Err() // after it: were ctx to end now, its function would set another deadline
}

// moveDeadline sets a deadline, unless the present one is at most slack earlier:
// setting one for each request would cost as much as parsing it.
func moveDeadline(by *time.Time, next time.Time, slack time.Duration, set func(time.Time) error) error {
	if early := next.Sub(*by); 0 <= early && early <= slack {
		return nil
	}
	*by = next
	return set(next)
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

// buffers are for reading answers.
var buffers = sync.Pool{New: func() any {
	b := make([]byte, 2*maxResultBytes)
	return &b
}}
