package rabbitmqbroker

import (
	"context"
	"errors"
	"fmt"

	"github.com/micro-event/micro-event/runtime/broker"
)

// Publish implements [broker.Driver].
func (d *driver) Publish(ctx context.Context, topic string, r *broker.Record, o broker.PublishOptions) error {
	if err := d.takeSlot(ctx, o); err != nil {
		return err
	}
	defer d.freeSlot()
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
		err := fmt.Errorf("%w: the server is short of memory or disk", broker.ErrBackpressure)
		if o.NoWait {
			return err
		}
		select {
		case <-released:
		case <-s.gone:
			return nil // sending finds out
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		}
	}
}

// takeSlot waits for room in the publish window.
func (d *driver) takeSlot(ctx context.Context, o broker.PublishOptions) error {
	select {
	case d.slots <- struct{}{}:
		return nil
	default:
	}
	if o.NoWait {
		return fmt.Errorf("%w in the publish window", broker.ErrBackpressure)
	}
	select {
	case d.slots <- struct{}{}:
		return nil
	case <-d.link.Ended().Done():
		return broker.ErrClosed
	case <-ctx.Done():
		return broker.NotDelivered(fmt.Errorf("wait for room in the publish window: %w", context.Cause(ctx)))
	}
}

func (d *driver) freeSlot() { <-d.slots }

// PublishBatch implements [broker.BatchPublisher]. It keeps as many messages on their
// way as the publish window has room for.
func (d *driver) PublishBatch(ctx context.Context, topic string, rs []*broker.Record, o broker.PublishOptions) []error {
	b := batch{driver: d, errs: make([]error, len(rs)), sent: make([]sentMessage, len(rs))}
	for i, r := range rs {
		if err := b.takeSlot(ctx, i, o); err != nil {
			b.errs[i] = err
			continue
		}
		p, w, err := d.send(ctx, topic, r, o)
		if err != nil {
			b.errs[i] = err
			d.freeSlot()
			continue
		}
		b.sent[i] = sentMessage{p, w}
	}
	for b.waited < len(rs) {
		b.confirmNext(ctx)
	}
	return b.errs
}

// batch is one PublishBatch: the messages before waited are done, those after it may
// be on their way.
type batch struct {
	driver *driver
	sent   []sentMessage
	errs   []error
	waited int
}

type sentMessage struct {
	publisher    *publisher
	confirmation *confirmation
}

// takeSlot makes room for message i, by waiting for those before it if need be.
func (b *batch) takeSlot(ctx context.Context, i int, o broker.PublishOptions) error {
	for b.waited < i {
		if b.driver.takeSlot(ctx, broker.PublishOptions{NoWait: true}) == nil {
			return nil
		}
		b.confirmNext(ctx)
	}
	return b.driver.takeSlot(ctx, o)
}

func (b *batch) confirmNext(ctx context.Context) {
	i := b.waited
	b.waited++
	if m := b.sent[i]; m.confirmation != nil {
		b.errs[i] = m.publisher.await(ctx, m.confirmation)
		b.driver.freeSlot()
	}
}
