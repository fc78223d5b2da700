package natsbroker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/micro-event/micro-event/runtime/broker"
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

var (
	errNoConfirmation = errors.New("the connection was closed before the server confirmed the message")

	// once keeps the client from sending a message again by itself, which it would
	// do after this package has returned, and out of order.
	once = []jetstream.PublishOpt{jetstream.WithRetryAttempts(0)}
)

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
			return fmt.Errorf("%w: %w", ended, err)
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
	if err := d.takeSlot(ctx, closed, o); err != nil {
		return err
	}
	defer d.freeSlot()
	f, err := d.send(conn, topic, r)
	if err != nil {
		return err
	}
	return confirmation(ctx, f, closed)
}

// takeSlot waits for room in the publish window.
func (d *Driver) takeSlot(ctx context.Context, closed <-chan struct{}, o broker.PublishOptions) error {
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
	case <-ctx.Done():
		return broker.NotDelivered(fmt.Errorf("wait for room in the publish window: %w", context.Cause(ctx)))
	case <-closed:
		return broker.ErrClosed
	}
}

func (d *Driver) freeSlot() { <-d.slots }

// send writes a message for the connection to send.
func (d *Driver) send(conn *nats.Conn, topic string, r *broker.Record) (jetstream.PubAckFuture, error) {
	m, size := newMsg(topic, r, d.config.dedup)
	if err := checkSize(conn, r, size); err != nil {
		return nil, err
	}
	f, err := d.js.PublishMsgAsync(m, once...)
	return f, unsent(err)
}

// confirmation waits for what became of a message.
func confirmation(ctx context.Context, f jetstream.PubAckFuture, closed <-chan struct{}) error {
	select {
	case <-f.Ok():
		return nil
	case err := <-f.Err():
		return refusal(err)
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-closed:
		return errNoConfirmation
	}
}

// PublishBatch implements [broker.BatchPublisher]. It keeps as many messages on
// their way as the publish window has room for.
func (d *Driver) PublishBatch(ctx context.Context, topic string, rs []*broker.Record, o broker.PublishOptions) []error {
	if d.config.core {
		return d.publishCore(ctx, topic, rs)
	}
	b := batch{
		driver: d, ctx: ctx, options: o,
		errs: make([]error, len(rs)), futures: make([]jetstream.PubAckFuture, len(rs)),
	}
	conn, closed, err := d.await(ctx)
	b.closed = closed
	for i, r := range rs {
		if err == nil {
			err = b.takeSlot(i)
		}
		if err != nil {
			b.errs[i] = err // nor will there be one for those that follow
			continue
		}
		if b.futures[i], b.errs[i] = d.send(conn, topic, r); b.errs[i] != nil {
			d.freeSlot()
		}
	}
	for b.waited < len(rs) {
		b.confirmNext()
	}
	return b.errs
}

// batch is one PublishBatch: the messages before waited are done, those after it
// may be on their way.
type batch struct {
	driver  *Driver
	ctx     context.Context //nolint:containedctx // it lives as long as the call
	options broker.PublishOptions
	closed  <-chan struct{}
	futures []jetstream.PubAckFuture
	errs    []error
	waited  int
}

// takeSlot makes room for message i, by waiting for those before it if need be.
func (b *batch) takeSlot(i int) error {
	for b.waited < i {
		err := b.driver.takeSlot(b.ctx, b.closed, broker.PublishOptions{NoWait: true})
		if err == nil {
			return nil
		}
		b.confirmNext()
	}
	return b.driver.takeSlot(b.ctx, b.closed, b.options)
}

func (b *batch) confirmNext() {
	i := b.waited
	b.waited++
	if f := b.futures[i]; f != nil {
		b.errs[i] = confirmation(b.ctx, f, b.closed)
		b.driver.freeSlot()
	}
}

// unsent classifies the error of a message that was not handed to the
// connection.
func unsent(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, nats.ErrMaxPayload):
		return fmt.Errorf("%w: %w", broker.ErrTooLarge, err)
	case errors.Is(err, nats.ErrConnectionClosed):
		return fmt.Errorf("%w: %w", broker.ErrClosed, err)
	case errors.Is(err, nats.ErrHeadersNotSupported), errors.Is(err, nats.ErrBadSubject), errors.Is(err, nats.ErrBadHeaderMsg):
		return broker.Rejected(err)
	case errors.Is(err, nats.ErrReconnectBufExceeded), errors.Is(err, nats.ErrConnectionDraining),
		errors.Is(err, jetstream.ErrTooManyStalledMsgs):
		return broker.NotDelivered(err)
	default:
		return err // perhaps a part of it was written
	}
}

// refusal classifies an answer, or that there will be none.
func refusal(err error) error {
	if errors.Is(err, jetstream.ErrNoStreamResponse) {
		return fmt.Errorf("%w: %w", broker.ErrNoSubscribers, err)
	}
	api, ok := errors.AsType[*jetstream.APIError](err)
	switch {
	case !ok:
		return err
	case api.ErrorCode == jetstream.JSErrCodeStreamMessageExceedsMaximum:
		return fmt.Errorf("%w: %w", broker.ErrTooLarge, err)
	case api.ErrorCode == storeFailedCode && strings.HasPrefix(api.Description, "maximum "):
		return fmt.Errorf("%w: %w", broker.ErrBackpressure, err)
	case api.Code >= 400 && api.Code < 500:
		return broker.Rejected(err)
	default:
		return err
	}
}
