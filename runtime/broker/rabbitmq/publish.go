package rabbitmqbroker

import (
	"context"
	"errors"
	"fmt"

	"github.com/micro-event/micro-event/runtime/broker"
	"github.com/micro-event/micro-event/runtime/broker/internal/window"
)

// Publish implements [broker.Driver].
func (d *driver) Publish(ctx context.Context, topic string, r *broker.Record, o broker.PublishOptions) error {
	if err := d.window.Take(ctx, o.NoWait); err != nil {
		return err
	}
	defer d.window.Free()
	p, w, err := d.send(ctx, topic, r, o)
	if err != nil {
		return err
	}
	return p.await(ctx, w)
}

// send sends a message once there is a session that takes it.
func (d *driver) send(ctx context.Context, topic string, r *broker.Record, o broker.PublishOptions) (*publisher, *confirmation, error) {
	for {
		s, err := d.link.Await(ctx)
		if err != nil {
			return nil, nil, err
		}
		if err := s.awaitRoom(ctx, o); err != nil {
			return nil, nil, err
		}
		w, err := s.publisher.send(ctx, topic, newPublishing(r))
		if !errors.Is(err, errUnsent) {
			return s.publisher, w, err
		}
		select { // the session is about to end
		case <-s.gone:
		case <-ctx.Done():
			return nil, nil, broker.NotDelivered(context.Cause(ctx))
		}
	}
}

// awaitRoom waits while the server is short of memory or disk.
func (s *session) awaitRoom(ctx context.Context, o broker.PublishOptions) error {
	for {
		blocked, released := s.publisher.isBlocked()
		if !blocked {
			return nil
		}
		err := broker.NotDelivered(fmt.Errorf("%w: the server is short of memory or disk", broker.ErrBackpressure))
		if o.NoWait {
			return err
		}
		select {
		case <-released:
		case <-s.gone:
			return nil // sending finds out
		case <-ctx.Done():
			return broker.NotDelivered(fmt.Errorf("%w: %w", context.Cause(ctx), err))
		}
	}
}

// PublishBatch implements [broker.BatchPublisher]. It keeps as many messages on their
// way as the publish window has room for.
func (d *driver) PublishBatch(ctx context.Context, topic string, rs []*broker.Record, o broker.PublishOptions) []error {
	return window.Batch(ctx, d.window, len(rs), o.NoWait, func(i int) (sentMessage, error) {
		p, w, err := d.send(ctx, topic, rs[i], o)
		return sentMessage{p, w}, err
	}, func(m sentMessage) error { return m.publisher.await(ctx, m.confirmation) })
}

type sentMessage struct {
	publisher    *publisher
	confirmation *confirmation
}
