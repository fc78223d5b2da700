package natsbroker

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/nats-io/nats.go"

	"github.com/micro-event/micro-event/runtime/broker"
)

// errLost is the error of giving back what nobody keeps.
var errLost = errors.New("core NATS takes nothing back: the message is lost")

// publishCore sends messages and waits until the server has processed them.
func (d *Driver) publishCore(ctx context.Context, topic string, rs []*broker.Record) []error {
	errs := make([]error, len(rs))
	conn, _, err := d.await(ctx)
	if err != nil {
		fill(errs, err)
		return errs
	}
	for i, r := range rs {
		m, size := newMsg(topic, r, false)
		if errs[i] = checkSize(conn, r, size); errs[i] == nil {
			errs[i] = unsent(conn.PublishMsg(m))
		}
	}
	if err := flush(ctx, conn, confirmTimeout); err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		} else if errors.Is(err, nats.ErrConnectionClosed) {
			err = errNoConfirmation // it may have been processed
		}
		fill(errs, err)
	}
	return errs
}

// fill sets the errors that are nil.
func fill(errs []error, err error) {
	for i := range errs {
		if errs[i] == nil {
			errs[i] = err
		}
	}
}

// coreSource takes what the server pushes. The client buffers what the engine
// has no room for, and drops what it has no room for itself.
type coreSource struct {
	sub  *nats.Subscription
	conn *nats.Conn
	stop sync.Once

	dropped int // by the client, as far as it was reported
}

func (d *Driver) openCore(ctx context.Context, spec broker.SourceSpec) (broker.Source, error) {
	conn, _, err := d.await(ctx)
	if err != nil {
		return nil, err
	}
	s := &coreSource{conn: conn}
	if spec.Queue == "" {
		s.sub, err = conn.SubscribeSync(spec.Topic)
	} else {
		s.sub, err = conn.QueueSubscribeSync(spec.Topic, spec.Queue)
	}
	if err != nil {
		return nil, err
	}
	if err := flush(ctx, conn, confirmTimeout); err != nil {
		return nil, errors.Join(err, s.sub.Unsubscribe())
	}
	return s, nil
}

// Receive implements [broker.Source]. After Stop the client returns an error.
func (s *coreSource) Receive(ctx context.Context, buf []broker.Raw) (int, error) {
	m, err := s.sub.NextMsgWithContext(ctx)
	if err != nil {
		return 0, err
	}
	buf[0] = newRaw(m)
	return 1, s.overflow()
}

// overflow returns an error when the client has dropped messages meanwhile.
func (s *coreSource) overflow() error {
	dropped, err := s.sub.Dropped()
	if err != nil || dropped <= s.dropped {
		return nil //nolint:nilerr // the subscription has ended, which Receive finds
	}
	n := dropped - s.dropped
	s.dropped = dropped
	return fmt.Errorf("nats: %d messages are lost: the subscription is too slow for core NATS", n)
}

// Load implements [broker.Source].
func (s *coreSource) Load(r *broker.Raw) (broker.Record, error) {
	d := deliveryOf(r)
	return d.record, d.err
}

// Settle implements [broker.Source].
func (s *coreSource) Settle(_ context.Context, _ *broker.Raw, o broker.Outcome, _ error) error {
	if o == broker.GiveBack {
		return errLost
	}
	return nil
}

// Extend implements [broker.Source]. There is no ack clock.
func (s *coreSource) Extend(context.Context, []broker.Raw) {}

// Stop implements [broker.Source].
func (s *coreSource) Stop(context.Context) error {
	var err error
	s.stop.Do(func() { err = s.sub.Unsubscribe() })
	return ignoreLost(err)
}

// Close implements [broker.Source].
func (s *coreSource) Close(ctx context.Context) error {
	if !s.conn.IsConnected() {
		return nil
	}
	return ignoreLost(flush(ctx, s.conn, stopTimeout))
}
