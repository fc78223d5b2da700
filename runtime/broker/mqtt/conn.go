package mqttbroker

import (
	"bufio"
	"context"
	"crypto/tls"
	"net"
	"net/url"
	"sync"
	"time"
)

const (
	// callTimeout bounds what the server is asked, and how long it may take nothing. A
	// connection on which it does not answer is given up.
	callTimeout = 10 * time.Second

	// keptBuffer is how much of a buffer is kept for the next packet, and how much is
	// written at a time.
	keptBuffer = 64 << 10
)

// conn is a connection for the client library, which reads byte by byte and writes a
// packet in pieces, between Lock and Unlock.
type conn struct {
	net.Conn
	in *bufio.Reader

	mu  sync.Mutex
	out []byte
}

// dial connects to the server at u.
func dial(ctx context.Context, u *url.URL, t *tls.Config) (*conn, error) {
	plain := &net.Dialer{KeepAlive: callTimeout}
	connect := plain.DialContext
	if t != nil || u.Scheme == "mqtts" {
		connect = (&tls.Dialer{NetDialer: plain, Config: t}).DialContext // it clones t
	}
	c, err := connect(ctx, "tcp", u.Host)
	if err != nil {
		return nil, err
	}
	return &conn{Conn: c, in: bufio.NewReaderSize(c, keptBuffer)}, nil
}

// Read implements [net.Conn].
func (c *conn) Read(p []byte) (int, error) { return c.in.Read(p) }

// Lock begins a packet.
func (c *conn) Lock() { c.mu.Lock() }

// Write implements [net.Conn]. The caller has called Lock.
func (c *conn) Write(p []byte) (int, error) {
	c.out = append(c.out, p...)
	return len(p), nil
}

// Unlock sends the packet. A connection that does not take it is closed: that is what
// the reader finds then, and what tells those who wait for an answer.
func (c *conn) Unlock() {
	defer c.mu.Unlock()
	if c.flush() != nil {
		_ = c.Close() //nolint:errcheck // it is of no use any more
	}
	if c.out = c.out[:0]; cap(c.out) > keptBuffer {
		c.out = nil
	}
}

// flush writes in pieces, each of which may take its time.
func (c *conn) flush() error {
	for rest := c.out; len(rest) > 0; {
		if err := c.SetWriteDeadline(time.Now().Add(callTimeout)); err != nil {
			return err
		}
		n, err := c.Conn.Write(rest[:min(len(rest), keptBuffer)])
		if err != nil {
			return err
		}
		rest = rest[n:]
	}
	return nil
}
