package rabbitmqbroker

import (
	"context"
	"fmt"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/micro-event/micro-event/runtime/broker"
)

// session is a pair of connections. It is over when one of them is. The client's own
// recovery is not used: delivery tags begin anew with it on the same channel, so that a
// late acknowledgement settles another message.
type session struct {
	publishing, consuming *connection
	publisher             *publisher
	callTimeout           time.Duration

	once sync.Once
	gone chan struct{} // closed when it is over
	err  error         // why; read after gone
}

// dial makes a session, within ctx and a time.
func dial(ctx context.Context, url string, c config) (*session, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.dialTimeout, errNoAnswer)
	defer cancel()
	s := &session{callTimeout: c.callTimeout, gone: make(chan struct{})}
	err := s.open(ctx, url, c)
	if err == nil {
		return s, nil
	}
	s.close(err)
	if ctx.Err() != nil {
		err = fmt.Errorf("%w: %w: %w", broker.ErrNotConnected, context.Cause(ctx), err)
	}
	return nil, err
}

// open makes the connections and what is on them. The end of ctx breaks them, which
// ends whatever waits for the server.
func (s *session) open(ctx context.Context, url string, c config) (err error) {
	if s.publishing, err = connect(ctx, url, c.tls); err != nil {
		return err
	}
	if s.consuming, err = connect(ctx, url, c.tls); err != nil {
		return err
	}
	channel, err := s.publishing.Channel()
	if err != nil {
		return err
	}
	if err := channel.ExchangeDeclare(c.exchange, "topic", true, false, false, false, nil); err != nil {
		return err
	}
	if s.publisher, err = newPublisher(s.publishing, channel, c); err != nil {
		return err
	}
	if !s.publishing.keep() || !s.consuming.keep() {
		return context.Cause(ctx)
	}
	go s.watch(s.publishing.NotifyClose(make(chan *amqp.Error, 1)),
		s.consuming.NotifyClose(make(chan *amqp.Error, 1)), channel.NotifyClose(make(chan *amqp.Error, 1)))
	return nil
}

// watch ends the session when a part of it ends.
func (s *session) watch(publishing, consuming, channel <-chan *amqp.Error) {
	var err *amqp.Error
	select {
	case err = <-publishing:
	case err = <-consuming:
	case err = <-channel:
		if err != nil && !s.publishing.IsClosed() {
			s.publisher.refuse(err)
		}
	case <-s.gone:
	}
	if err == nil {
		err = amqp.ErrClosed
	}
	s.close(err)
}

// close ends the session. What the server has said about messages until its connection
// is closed still counts.
func (s *session) close(err error) {
	s.once.Do(func() {
		s.err = err
		close(s.gone)
		if s.publisher != nil {
			s.publisher.stop()
		}
		s.publishing.end()
		if s.publisher != nil {
			s.publisher.fail(err)
		}
		s.consuming.end()
	})
}

// Gone implements [link.Session].
func (s *session) Gone() <-chan struct{} { return s.gone }

// Err implements [link.Session].
func (s *session) Err() error { return s.err }

func (s *session) isGone() bool {
	select {
	case <-s.gone:
		return true
	default:
		return false
	}
}

// ask calls do, which asks the server. If that does not answer in time the session
// ends, and do with it, even when ctx has ended before.
func (s *session) ask(ctx context.Context, do func() error) error {
	done := make(chan error, 1)
	go func() {
		timer := time.AfterFunc(s.callTimeout, func() { s.close(errSilent) })
		defer timer.Stop()
		done <- do()
	}()
	select {
	case err := <-done:
		return err
	case <-s.gone:
		return s.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
