package natsbroker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/micro-event/micro-event/runtime/broker"
	"github.com/micro-event/micro-event/runtime/broker/internal/window"
)

const (
	// noStreamRetries, noStreamPause apart, bridge the election of a stream's
	// leader, during which nobody answers either.
	noStreamRetries = 2
	noStreamPause   = 250 * time.Millisecond

	// A full stream is asked again after pauses that double between these.
	fullPauseLowest  = 10 * time.Millisecond
	fullPauseHighest = 500 * time.Millisecond
)

// storeFailedCode is the error of a stream that is full, among others.
const storeFailedCode jetstream.ErrorCode = 10077

// Publish implements [broker.Driver].
func (d *Driver) Publish(ctx context.Context, topic string, r *broker.Record, o broker.PublishOptions) error {
	if d.config.core {
		return d.publishCore(ctx, topic, []*broker.Record{r})[0]
	}
	for attempt := 0; ; attempt++ {
		err := d.publishOnce(ctx, topic, r, o)
		var again time.Duration
		switch {
		case errors.Is(err, broker.ErrBackpressure) && !o.NoWait:
			again = min(fullPauseHighest, fullPauseLowest<<min(attempt, 10))
		case errors.Is(err, broker.ErrNoSubscribers) && attempt < noStreamRetries:
			again = noStreamPause
		default:
			return err
		}
		if ended := d.pause(ctx, again); ended != nil {
			return broker.NotDelivered(fmt.Errorf("%w: %w", ended, err))
		}
	}
}

// pause waits for t, unless ctx or the connection ends first.
func (d *Driver) pause(ctx context.Context, t time.Duration) error {
	_, closed := d.connection()
	timer := time.NewTimer(t)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-closed:
		return broker.ErrClosed
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (d *Driver) publishOnce(ctx context.Context, topic string, r *broker.Record, o broker.PublishOptions) error {
	conn, closed, err := d.await(ctx)
	if err != nil {
		return err
	}
	if err := d.window.Take(ctx, o.NoWait); err != nil {
		return err
	}
	defer d.window.Free()
	w, err := d.send(conn, topic, r)
	if err != nil {
		return err
	}
	return d.acks.await(ctx, w, closed)
}

// send sends a message; what it returns must be awaited.
func (d *Driver) send(conn *nats.Conn, topic string, r *broker.Record) (*ack, error) {
	m, size := newMsg(topic, r, d.config.dedup)
	if err := checkSize(conn, r, size); err != nil {
		return nil, err
	}
	return d.acks.send(m)
}

// PublishBatch implements [broker.BatchPublisher]. It keeps as many messages on
// their way as the publish window has room for. It does not wait for room in a
// full stream, since those behind have been sent by then: a message that found
// none fails with [broker.ErrBackpressure].
func (d *Driver) PublishBatch(ctx context.Context, topic string, rs []*broker.Record, o broker.PublishOptions) []error {
	if d.config.core {
		return d.publishCore(ctx, topic, rs)
	}
	conn, closed, err := d.await(ctx)
	if err != nil {
		return slices.Repeat([]error{err}, len(rs))
	}
	return window.Batch(ctx, d.window, len(rs), o.NoWait, func(i int) (*ack, error) {
		return d.send(conn, topic, rs[i])
	}, func(w *ack) error { return d.acks.await(ctx, w, closed) })
}

// unsent classifies the error of a message that was not handed to the
// connection.
func unsent(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, nats.ErrMaxPayload):
		return broker.Rejected(fmt.Errorf("%w: %w", broker.ErrTooLarge, err))
	case errors.Is(err, nats.ErrConnectionClosed):
		return broker.NotDelivered(fmt.Errorf("%w: %w", broker.ErrClosed, err))
	case errors.Is(err, nats.ErrHeadersNotSupported), errors.Is(err, nats.ErrBadSubject), errors.Is(err, nats.ErrBadHeaderMsg):
		return broker.Rejected(err)
	case errors.Is(err, nats.ErrReconnectBufExceeded), errors.Is(err, nats.ErrConnectionDraining):
		return broker.NotDelivered(err)
	default:
		return err // perhaps a part of it was written
	}
}

// refusal classifies an error that the server answered.
func refusal(err *jetstream.APIError) error {
	switch {
	case err.ErrorCode == jetstream.JSErrCodeStreamMessageExceedsMaximum:
		return broker.Rejected(fmt.Errorf("%w: %w", broker.ErrTooLarge, err))
	case err.ErrorCode == storeFailedCode && strings.HasPrefix(err.Description, "maximum "):
		return broker.NotDelivered(fmt.Errorf("%w: %w", broker.ErrBackpressure, err))
	case err.Code >= 400 && err.Code < 500:
		return broker.Rejected(err)
	default:
		return err
	}
}
