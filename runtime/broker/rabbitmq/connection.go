package rabbitmqbroker

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/micro-event/micro-event/runtime/broker"
)

const (
	heartbeat = 5 * time.Second

	// writeTimeout is how long a server may take nothing.
	writeTimeout = 10 * time.Second

	// goodbyeTimeout is how long the server may take to answer that a connection is
	// closed.
	goodbyeTimeout = time.Second
)

var (
	errNoAnswer = errors.New("the server does not answer")
	errSilent   = fmt.Errorf("%w: %w", broker.ErrNotConnected, errNoAnswer)
)

// connection is a connection with what it goes over.
type connection struct {
	*amqp.Connection
	socket net.Conn

	// keep lets it outlive the context that it was made with. It returns false when
	// that has broken it already.
	keep func() bool
}

// connect makes a connection, which breaks when ctx ends.
func connect(ctx context.Context, url string, t *tls.Config) (*connection, error) {
	c := &connection{keep: func() bool { return false }}
	var err error
	c.Connection, err = amqp.DialConfig(url, amqp.Config{
		Heartbeat:       heartbeat,
		TLSClientConfig: t.Clone(), // the client writes to it
		Dial: func(network, address string) (net.Conn, error) {
			socket, err := new(net.Dialer).DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			c.socket = &boundedConn{socket}
			c.keep = context.AfterFunc(ctx, func() { end(socket) })
			return c.socket, nil
		},
	})
	if err == nil {
		return c, nil
	}
	if c.socket != nil {
		end(c.socket) // the client does not in all cases
	}
	return nil, explained(err)
}

// explained says what to do about an error of TLS.
func explained(err error) error {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return fmt.Errorf("%w; if the server is right, give its authority as RootCAs, and its name as ServerName, with option TLS", err)
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return fmt.Errorf("%w; the server speaks no TLS on this port: it is usually 5671 with TLS, and 5672 without", err)
	}
	return err
}

// end closes the connection, in good order if the server answers soon.
func (c *connection) end() {
	if c == nil {
		return
	}
	// A deadline of the client would not do: it is put off by each heartbeat.
	timer := time.AfterFunc(goodbyeTimeout, func() { end(c.socket) })
	defer timer.Stop()
	end(c.Connection)
}

// boundedConn gives up a server that takes nothing any more.
type boundedConn struct{ net.Conn }

// Write implements [net.Conn].
func (c *boundedConn) Write(p []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// end closes what may be closed already.
func end(c interface{ Close() error }) {
	_ = c.Close() //nolint:errcheck // see above
}
