package httpbroker

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"strconv"
	"syscall"
	"time"
)

// maxIdleTime is how long a connection is kept for later. The server closes it
// after [idleTimeout].
const maxIdleTime = idleTimeout / 2

// maxAnswerHead bounds the head of an answer.
const maxAnswerHead = 64 << 10

// maxRefusalBytes bounds what is read of an answer that refuses a request.
const maxRefusalBytes = 4 << 10

// conn is a connection to a member. It is used for one request at a time, by the
// goroutine that has the request: this spares the two goroutines per connection,
// and the four changes between them per request, of [http.Transport].
type conn struct {
	net.Conn
	publisher *publisher
	limited   *io.LimitedReader // below reader
	reader    *bufio.Reader
	since     time.Time // when it was last used
	readBy    time.Time // its deadline for reading
	peer      Peer      // who the member proved to be
	under     int64     // generation of the certificates that it was made with
	reused    bool
	upgraded  bool // it has frames and their answers, without HTTP
}

// unsentError is an error before anything was written.
type unsentError struct{ err error }

func (e *unsentError) Error() string { return e.err.Error() }
func (e *unsentError) Unwrap() error { return e.err }

// dial connects to an address, if a member may have it.
func (p *publisher) dial(ctx context.Context, address string) (*conn, error) {
	dialer := net.Dialer{
		Timeout: dialTimeout,
		Control: func(_, resolved string, _ syscall.RawConn) error { return p.options.mayDial(resolved) },
	}
	c, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, &unsentError{err}
	}
	under := p.options.certificateGeneration()
	encrypted, peer, err := p.encrypt(ctx, c, address)
	if err != nil {
		return nil, &unsentError{errors.Join(err, c.Close())}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ending {
		return nil, &unsentError{errors.Join(errPublisherClosed, c.Close())}
	}
	p.conns[encrypted] = struct{}{}
	limited := &io.LimitedReader{R: encrypted}
	return &conn{
		Conn: encrypted, publisher: p, limited: limited, reader: bufio.NewReader(limited), peer: peer, under: under,
	}, nil
}

// Close implements [net.Conn].
func (c *conn) Close() error {
	c.publisher.mu.Lock()
	delete(c.publisher.conns, c.Conn)
	c.publisher.mu.Unlock()
	return c.Conn.Close()
}

// connect returns a connection that was kept, or a new one.
func (ep *endpoint) connect(ctx context.Context) (*conn, error) {
	now, generation := time.Now(), ep.publisher.options.certificateGeneration()
	ep.mu.Lock()
	var stale []*conn
	for n := len(ep.idle); n > 0; n = len(ep.idle) {
		c := ep.idle[n-1]
		ep.idle = ep.idle[:n-1]
		if now.Sub(c.since) < maxIdleTime && c.under == generation {
			ep.mu.Unlock()
			c.reused = true
			return c, nil
		}
		stale = append(append(stale, c), ep.idle...) // those below are older
		ep.idle = nil
	}
	ep.mu.Unlock()
	closeAll(stale)
	return ep.dial(ctx)
}

// dial makes a connection to the member, who must be allowed to be one.
func (ep *endpoint) dial(ctx context.Context) (*conn, error) {
	p := ep.publisher
	c, err := p.dial(ctx, ep.entry.Address)
	if err != nil {
		return nil, err
	}
	err = p.options.may(ctx, Access{c.peer, ActionSubscribe, ep.entry.Topic, ep.entry.Queue})
	if err != nil {
		return nil, &unsentError{errors.Join(fmt.Errorf("the member at %s is not allowed to subscribe: %w", ep.entry.Address, err), c.Close())}
	}
	return c, nil
}

func closeAll(conns []*conn) {
	for _, c := range conns {
		c.Close() //nolint:errcheck // nobody waits for it
	}
}

// keep keeps a connection for the next request.
func (ep *endpoint) keep(c *conn) {
	c.since = time.Now()
	ep.mu.Lock()
	kept := !ep.retired && len(ep.idle) < maxFlights
	if kept {
		ep.idle = append(ep.idle, c)
	}
	ep.mu.Unlock()
	if !kept {
		c.Close() //nolint:errcheck // nobody waits for it
	}
}

// retire closes what is kept for a member that is not known any more.
func (ep *endpoint) retire() {
	ep.mu.Lock()
	idle := ep.idle
	ep.idle, ep.retired = nil, true
	ep.mu.Unlock()
	closeAll(idle)
}

// request returns a request of HTTP as it is sent, credentials included.
func (ep *endpoint) request(ctx context.Context, body []byte) ([]byte, error) {
	b := bodies.get(len(requestHead) + len(body) + 512)
	b = append(append(b, requestHead...), ep.entry.Address...)
	if ep.upgrades.Load() {
		b = append(b, upgradeRequest...)
	}
	b = append(b, "\r\nContent-Type: "+frameType+"\r\nContent-Length: "...)
	b = strconv.AppendInt(b, int64(len(body)), 10)
	b = append(b, "\r\n"...)
	b, err := ep.publisher.appendCredentials(ctx, b, body)
	b = append(b, "\r\n"...)
	return append(b, body...), err
}

const (
	requestHead    = "POST " + DeliverPath + " HTTP/1.1\r\nHost: "
	upgradeRequest = "\r\nConnection: Upgrade\r\nUpgrade: " + upgradeToken
)

// write sends a request.
func (c *conn) write(b []byte) error {
	if len(b) > socketBuffer {
		if err := c.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
			return &unsentError{err}
		}
		defer c.SetWriteDeadline(time.Time{}) //nolint:errcheck // a connection that has ended says so when it is read
	}
	n, err := c.Write(b)
	if err != nil && n == 0 {
		return &unsentError{err}
	}
	return err
}

// socketBuffer is what can be written to an idle connection without waiting.
const socketBuffer = 16 << 10

// errNoAnswer is returned for a connection that ended before the answer began.
var errNoAnswer = errors.New("connection ended before the answer")

// answer reads the head of an answer, if that is not endless.
func (c *conn) answer() (*http.Response, error) {
	defer func() { c.limited.N = math.MaxInt64 }()
	if _, err := c.reader.Peek(1); err != nil {
		return nil, errors.Join(errNoAnswer, err)
	}
	return http.ReadResponse(c.reader, nil)
}

// quickHead begins the answer of a member of this package to a request whose
// messages were all done at once; the length and an empty line follow.
var quickHead = []byte("HTTP/1.1 200 OK\r\nContent-Type: " + resultType + "\r\nContent-Length: ")

// quickAnswer returns the body of an answer that has arrived whole and is of
// exactly that form, which is what most are. It spares the making of an
// [http.Response]. The body is valid until the next use of the connection.
func (c *conn) quickAnswer() ([]byte, bool) {
	if _, err := c.reader.Peek(1); err != nil {
		return nil, false // answer says why
	}
	all, err := c.reader.Peek(c.reader.Buffered())
	rest, ok := bytes.CutPrefix(all, quickHead)
	length, body, ok2 := bytes.Cut(rest, []byte("\r\n\r\n"))
	if err != nil || !ok || !ok2 {
		return nil, false
	}
	n, err := strconv.ParseUint(string(length), 10, 16)
	if err != nil || int(n) != len(body) {
		return nil, false
	}
	_, err = c.reader.Discard(len(all))
	return body, err == nil
}

// refusalOf returns the error that an answer to a whole request is, and whether
// it was read to its end.
func refusalOf(resp *http.Response) (complete bool, err error) {
	reason, err := io.ReadAll(io.LimitReader(resp.Body, maxRefusalBytes))
	complete = err == nil && len(reason) < maxRefusalBytes
	reason = reason[:min(len(reason), maxReasonBytes)]
	return complete, &refusalError{statusError{resp.StatusCode, printable(reason)}, kindOf(resp.StatusCode)}
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
