package rabbitmqbroker

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/micro-event/micro-event/runtime/broker"
)

const (
	dialTimeout = 5 * time.Second
	heartbeat   = 5 * time.Second

	// callTimeout bounds what the server is asked. A connection on which it does not
	// answer is given up.
	callTimeout = 10 * time.Second

	lowestPause  = 20 * time.Millisecond
	highestPause = 2 * time.Second
)

// link keeps a session with the server, and makes a new one when it is lost. The
// client's own recovery is not used: delivery tags begin anew with it on the same
// channel, so that a late acknowledgement settles another message.
type link struct {
	url    string
	config config
	watch  func(lost error)

	ended context.Context //nolint:containedctx // the life of the link
	stop  context.CancelCauseFunc
	over  chan struct{} // closed when the goroutine has ended

	mu      sync.Mutex
	session *session      // nil while there is none
	lost    error         // why
	changed chan struct{} // closed when there is one again
}

// session is a pair of connections. It is over when one of them is.
type session struct {
	publishing, consuming *amqp.Connection
	publisher             *publisher

	once sync.Once
	gone chan struct{} // closed when it is over
	err  error         // why; read after gone
}

func newLink(url string, c config, watch func(error)) *link {
	l := &link{url: url, config: c, watch: watch, over: make(chan struct{}), changed: make(chan struct{})}
	l.ended, l.stop = context.WithCancelCause(context.Background())
	return l
}

// begin makes the first session.
func (l *link) begin(ctx context.Context) error {
	s, err := l.dial(ctx)
	if err != nil {
		l.stop(broker.ErrClosed)
		return err
	}
	l.session = s
	go l.run(s) //nolint:contextcheck // it outlives ctx
	return nil
}

func (l *link) end() {
	l.stop(broker.ErrClosed)
	<-l.over
}

// run replaces sessions that are lost.
func (l *link) run(s *session) {
	defer close(l.over)
	for {
		select {
		case <-s.gone:
		case <-l.ended.Done():
			s.close(broker.ErrClosed)
			return
		}
		l.set(nil, s.err)
		l.watch(s.err)
		if s = l.redial(); s == nil {
			return
		}
		l.set(s, nil)
		l.watch(nil)
	}
}

// redial tries until there is a session, or the link ends.
func (l *link) redial() *session {
	for pause := lowestPause; ; pause = min(2*pause, highestPause) {
		ctx, cancel := context.WithTimeout(l.ended, dialTimeout)
		s, err := l.dial(ctx)
		cancel()
		if err == nil {
			return s
		}
		l.set(nil, err)
		timer := time.NewTimer(pause/2 + rand.N(pause))
		select {
		case <-timer.C:
		case <-l.ended.Done():
			timer.Stop()
			return nil
		}
	}
}

func (l *link) set(s *session, lost error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.session, l.lost = s, lost
	if s != nil {
		close(l.changed)
		l.changed = make(chan struct{})
	}
}

// await returns the session once there is one, or an error that says that nothing
// was sent.
func (l *link) await(ctx context.Context) (*session, error) {
	for {
		l.mu.Lock()
		s, lost, changed := l.session, l.lost, l.changed
		l.mu.Unlock()
		switch {
		case l.ended.Err() != nil:
			return nil, broker.ErrClosed
		case s != nil && !s.isGone():
			return s, nil
		case s != nil:
			lost = s.err
			// It is over, and soon replaced by nil or by the next one.
		}
		select {
		case <-changed:
		case <-l.ended.Done():
		case <-ctx.Done():
			return nil, broker.NotDelivered(fmt.Errorf("%w: %w: %w", broker.ErrNotConnected, lost, context.Cause(ctx)))
		}
	}
}

// dial makes a session.
func (l *link) dial(ctx context.Context) (s *session, err error) {
	s = &session{gone: make(chan struct{})}
	defer func() {
		if err != nil {
			s.close(err)
			s = nil
		}
	}()
	if s.publishing, err = l.connect(ctx); err != nil {
		return s, err
	}
	if s.consuming, err = l.connect(ctx); err != nil {
		return s, err
	}
	channel, err := s.publishing.Channel()
	if err != nil {
		return s, err
	}
	err = channel.ExchangeDeclare(l.config.exchange, "topic", true, false, false, false, nil)
	if err != nil {
		return s, err
	}
	if s.publisher, err = newPublisher(channel, l.config.exchange); err != nil {
		return s, err
	}
	s.publisher.watchBlocked(s.publishing.NotifyBlocked(make(chan amqp.Blocking, 1)))
	go s.watch(s.publishing.NotifyClose(make(chan *amqp.Error, 1)),
		s.consuming.NotifyClose(make(chan *amqp.Error, 1)), channel.NotifyClose(make(chan *amqp.Error, 1)))
	return s, nil
}

// connect makes a connection, within ctx.
func (l *link) connect(ctx context.Context) (*amqp.Connection, error) {
	var stop func() bool
	c, err := amqp.DialConfig(l.url, amqp.Config{
		Heartbeat:       heartbeat,
		TLSClientConfig: l.config.tls,
		Dial: func(network, address string) (net.Conn, error) {
			dialer := net.Dialer{Timeout: dialTimeout}
			conn, err := dialer.DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			stop = context.AfterFunc(ctx, func() { end(conn) }) // the handshake, too, is within ctx
			return &boundedConn{conn}, conn.SetDeadline(time.Now().Add(dialTimeout))
		},
	})
	if stop != nil && !stop() && err == nil {
		err = errors.Join(context.Cause(ctx), c.Close())
	}
	if err != nil && ctx.Err() != nil {
		return nil, fmt.Errorf("%w: %w: %w", broker.ErrNotConnected, context.Cause(ctx), err)
	}
	return c, err
}

// boundedConn gives up a server that takes nothing any more.
type boundedConn struct{ net.Conn }

// Write implements [net.Conn].
func (c *boundedConn) Write(p []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(callTimeout)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// end closes what may be closed already.
func end(c interface{ Close() error }) {
	_ = c.Close() //nolint:errcheck // see above
}

// watch ends the session when a part of it ends.
func (s *session) watch(parts ...<-chan *amqp.Error) {
	var err *amqp.Error
	select {
	case err = <-parts[0]:
	case err = <-parts[1]:
	case err = <-parts[2]:
	case <-s.gone:
	}
	if err == nil {
		err = amqp.ErrClosed
	}
	s.close(err)
}

// close ends the session.
func (s *session) close(err error) {
	s.once.Do(func() {
		s.err = err
		close(s.gone)
		if s.publisher != nil {
			s.publisher.fail(err)
		}
		for _, c := range []*amqp.Connection{s.publishing, s.consuming} {
			if c != nil {
				//nolint:errcheck // the server notices by itself
				_ = c.CloseDeadline(time.Now().Add(time.Second))
			}
		}
	})
}

func (s *session) isGone() bool {
	select {
	case <-s.gone:
		return true
	default:
		return false
	}
}
