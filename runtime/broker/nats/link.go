package natsbroker

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/micro-event/micro-event/runtime/broker"
)

const (
	dialTimeout      = 2 * time.Second
	reconnectLowest  = 50 * time.Millisecond
	reconnectHighest = 5 * time.Second
	pingInterval     = 20 * time.Second

	// confirmTimeout bounds waiting for the server where the context does not.
	confirmTimeout = 30 * time.Second
)

// link is the connection of a driver.
type link struct {
	servers string // URLs, separated by commas
	config  config
	watch   func(lost error)

	mu       sync.Mutex
	conn     *nats.Conn
	acks     *acks         // nil with Core; set before the first publish
	restored chan struct{} // closed when a lost connection stands again
	closed   chan struct{} // closed by close
}

// Configure implements [broker.Configurer].
func (l *link) Configure(v any) error {
	set, ok := v.(setting)
	if !ok {
		return broker.ErrUnsupported
	}
	set(&l.config)
	return l.config.validate()
}

// WatchLink implements [broker.LinkWatcher].
func (l *link) WatchLink(fn func(lost error)) { l.watch = fn }

// address returns the servers without credentials.
func (l *link) address() string {
	servers := strings.Split(l.servers, ",")
	for i, s := range servers {
		u, err := parseServer(s)
		if err != nil {
			servers[i] = "nats://invalid"
			continue
		}
		u.User = nil
		servers[i] = u.String()
	}
	return strings.Join(servers, ",")
}

var errURL = errors.New("want URLs like nats://host:4222 or tls://host:4222, separated by commas")

// parseServer parses one URL. Its error does not show it: it may have a
// password.
func parseServer(s string) (*url.URL, error) {
	s = strings.TrimSpace(s)
	if !strings.Contains(s, "://") {
		s = "nats://" + s
	}
	u, err := url.Parse(s)
	if err != nil || u.Hostname() == "" {
		return nil, errURL
	}
	switch u.Scheme {
	case "nats", "tls", "ws", "wss":
		return u, nil
	}
	return nil, errURL
}

// connect makes a connection, within ctx.
func (l *link) connect(ctx context.Context) (*nats.Conn, error) {
	for s := range strings.SplitSeq(l.servers, ",") {
		if _, err := parseServer(s); err != nil {
			return nil, err
		}
	}
	type result struct {
		conn *nats.Conn
		err  error
	}
	made := make(chan result, 1)
	go func() { // the client takes no context; it gives up by itself
		conn, err := nats.Connect(l.servers, l.options()...)
		made <- result{conn, err}
	}()
	select {
	case r := <-made:
		if r.err == nil {
			l.set(r.conn)
		}
		return r.conn, r.err
	case <-ctx.Done():
		go func() {
			if r := <-made; r.err == nil {
				r.conn.Close()
			}
		}()
		return nil, fmt.Errorf("%w: %w", broker.ErrNotConnected, context.Cause(ctx))
	}
}

func (l *link) set(conn *nats.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conn, l.restored, l.closed, l.acks = conn, make(chan struct{}), make(chan struct{}), nil
}

func (l *link) setAcks(a *acks) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acks = a
}

// confirmations returns the acks, or nil.
func (l *link) confirmations() *acks {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.acks
}

func (l *link) options() []nats.Option {
	opts := []nats.Option{
		nats.Timeout(dialTimeout),
		nats.PingInterval(pingInterval),
	}
	opts = append(opts, l.config.connector...)
	opts = append(opts, l.config.auth...)
	if l.config.tls != nil {
		opts = append(opts, nats.Secure(l.config.tls))
	}
	return append(opts,
		nats.MaxReconnects(-1),
		nats.IgnoreAuthErrorAbort(), // credentials may be mended while it is away
		nats.CustomReconnectDelay(reconnectDelay),
		nats.DisconnectErrHandler(l.onLost),
		nats.ReconnectHandler(l.onRestored),
		nats.ErrorHandler(l.onError),
	)
}

// reconnectDelay is the pause after a round of all servers.
func reconnectDelay(rounds int) time.Duration {
	d := reconnectHighest
	if rounds < 7 {
		d = min(d, reconnectLowest<<max(rounds-1, 0))
	}
	return d/2 + rand.N(d/2+1)
}

func (l *link) onLost(_ *nats.Conn, err error) {
	if err == nil {
		err = nats.ErrDisconnected
	}
	if a := l.confirmations(); a != nil {
		a.fail(err)
	}
	l.watch(err)
}

// onError is told what the server says beside its answers.
func (l *link) onError(_ *nats.Conn, _ *nats.Subscription, err error) {
	if a := l.confirmations(); a != nil && errors.Is(err, nats.ErrPermissionViolation) {
		a.refuse(err)
	}
}

func (l *link) onRestored(*nats.Conn) {
	l.mu.Lock()
	close(l.restored)
	l.restored = make(chan struct{})
	l.mu.Unlock()
	l.watch(nil)
}

// restoration returns a channel that is closed when a lost connection stands
// again.
func (l *link) restoration() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.restored
}

// connection returns the current connection and when it is closed by us; nil
// before the first one.
func (l *link) connection() (conn *nats.Conn, closed <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.conn, l.closed
}

// await returns the connection once it stands, or an error that says that
// nothing was sent.
func (l *link) await(ctx context.Context) (*nats.Conn, <-chan struct{}, error) {
	conn, closed := l.connection()
	if conn.IsConnected() {
		return conn, closed, nil
	}
	changes := conn.StatusChanged(nats.CONNECTED, nats.CLOSED)
	defer conn.RemoveStatusListener(changes)
	for !conn.IsConnected() {
		if conn.IsClosed() {
			return nil, nil, broker.NotDelivered(broker.ErrClosed)
		}
		select {
		case <-changes:
		case <-closed:
			return nil, nil, broker.NotDelivered(broker.ErrClosed)
		case <-ctx.Done():
			return nil, nil, broker.NotDelivered(fmt.Errorf("%w: %w", broker.ErrNotConnected, context.Cause(ctx)))
		}
	}
	return conn, closed, nil
}

// flush waits until the server has processed what was sent, at most d.
func flush(ctx context.Context, conn *nats.Conn, d time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	return conn.FlushWithContext(ctx)
}

// close flushes and ends the connection.
func (l *link) close(ctx context.Context) error {
	conn, _ := l.connection()
	var err error
	if conn.IsConnected() {
		err = flush(ctx, conn, confirmTimeout)
	}
	conn.SetDisconnectErrHandler(nil) // it is meant to end
	conn.SetReconnectHandler(nil)
	l.mu.Lock()
	close(l.closed)
	l.mu.Unlock()
	conn.Close()
	return err
}

// maxBodyBytes is the largest body: an eighth of what the server takes is left
// for headers.
func (l *link) maxBodyBytes() int {
	conn, _ := l.connection()
	if conn == nil {
		return 0
	}
	limit := int(conn.MaxPayload())
	return limit - limit/8
}

// deadLetterRoom is kept free in a message, so that the headers of a dead letter
// find room in it later.
const deadLetterRoom = 8 << 10

// checkSize refuses what the server would not take, or what could not be
// dead-lettered.
func checkSize(conn *nats.Conn, r *broker.Record, size int) error {
	limit := int(conn.MaxPayload())
	if _, dead := r.Get(broker.DeadLetterTopicHeader); !dead {
		limit -= min(deadLetterRoom, limit/16)
	}
	if size > limit {
		return broker.Rejected(fmt.Errorf("%w: body and headers have %d bytes, more than %d", broker.ErrTooLarge, size, limit))
	}
	return nil
}
