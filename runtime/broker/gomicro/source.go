package gomicrobroker

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	gomicro "go-micro.dev/v5/broker"

	"github.com/micro-event/micro-event/runtime/broker"
)

var (
	// errLost is the error of giving back what nobody keeps.
	errLost = errors.New("go-micro takes nothing back: the message is lost")

	// errEnded tells go-micro's broker that a member of a queue has gone while it
	// handed a message over.
	errEnded = errors.New("go-micro: the subscription ended before it took the message, which is lost")

	errStopped = errors.New("go-micro: the source is stopped")
	errEmpty   = errors.New("go-micro: the event has no message: its broker's codec could not read it")
)

// closeTimeout bounds waiting for a server that has to confirm the end of a
// subscription.
const closeTimeout = 5 * time.Second

// source takes what go-micro's broker pushes. A handler of its waits until the
// engine has room, so that the broker feels what is too slow.
type source struct {
	driver  *Driver
	ended   <-chan struct{} // of the driver, when this was opened
	queue   string
	arrived chan broker.Raw
	stopped chan struct{}
	stop    sync.Once
	sub     gomicro.Subscriber
}

// delivery is the Value of a Raw.
type delivery struct {
	record broker.Record
	err    error // of what no broker would take
}

// Open implements [broker.Driver].
func (d *Driver) Open(ctx context.Context, spec broker.SourceSpec) (broker.Source, error) {
	var opts []gomicro.SubscribeOption
	if spec.Queue != "" {
		if !d.queues {
			return nil, fmt.Errorf("%w: go-micro's broker %q ignores queues, so each member of %q would get every message; "+
				"subscribe without a queue (event.Broadcast), or say gomicrobroker.Queues(true) if it does honour them",
				broker.ErrUnsupported, d.theirs.String(), spec.Queue)
		}
		opts = append(opts, gomicro.Queue(spec.Queue))
	}
	s := &source{driver: d, ended: d.ended, queue: spec.Queue, arrived: make(chan broker.Raw), stopped: make(chan struct{})}
	var err error
	if s.sub, err = d.theirs.Subscribe(spec.Topic, s.take, opts...); err != nil {
		return nil, err
	}
	if !d.confirm {
		return s, nil
	}
	if err := d.roundTrip(ctx, s.ended); err != nil {
		return nil, errors.Join(fmt.Errorf("go-micro: confirm the subscription: %w", err), s.Stop(ctx))
	}
	return s, nil
}

// roundTrip returns when a message has come back on a topic of its own. Go-micro's
// NATS broker only writes subscriptions and their ends into a buffer. The server
// handles what comes by one connection in its order, and so has them before it.
func (d *Driver) roundTrip(ctx context.Context, ended <-chan struct{}) (err error) {
	topic, back := "micro-event.round-trip."+rand.Text(), make(chan struct{}, 1)
	sub, err := d.theirs.Subscribe(topic, func(gomicro.Event) error {
		back <- struct{}{}
		return nil
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sub.Unsubscribe()) }()
	if err := d.theirs.Publish(topic, &gomicro.Message{}); err != nil {
		return err
	}
	select {
	case <-back:
		return nil
	case <-ended:
		return broker.ErrClosed
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// take is the handler that go-micro calls.
func (s *source) take(e gomicro.Event) error {
	m := e.Message()
	if m == nil {
		return errEmpty
	}
	v := &delivery{record: newRecord(m)}
	v.err = broker.CheckRecord(&v.record)
	select {
	case <-s.stopped: // its memory broker may be late
		return nil
	default:
	}
	select {
	case s.arrived <- broker.Raw{Key: v.record.Key, Value: v}:
		return nil
	case <-s.stopped:
		if s.queue == "" {
			return nil
		}
		return errEnded
	}
}

// Receive implements [broker.Source].
func (s *source) Receive(ctx context.Context, buf []broker.Raw) (int, error) {
	select {
	case buf[0] = <-s.arrived:
		return 1, nil
	case <-s.stopped:
		return 0, errStopped
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
}

// Load implements [broker.Source].
func (s *source) Load(r *broker.Raw) (broker.Record, error) {
	d := r.Value.(*delivery) //nolint:forcetypeassert // take puts nothing else there
	return d.record, d.err
}

// Settle implements [broker.Source].
func (s *source) Settle(_ context.Context, _ *broker.Raw, o broker.Outcome, _ error) error {
	if o == broker.GiveBack {
		return errLost
	}
	return nil
}

// Extend implements [broker.Source]. There is no ack clock.
func (s *source) Extend(context.Context, []broker.Raw) {}

// Stop implements [broker.Source]. Unsubscribe of go-micro's memory broker
// must be called once only.
func (s *source) Stop(context.Context) error {
	var err error
	s.stop.Do(func() {
		close(s.stopped)
		err = s.sub.Unsubscribe()
	})
	return err
}

// Close implements [broker.Source]. When it returns the server gives the messages of a
// queue to other members.
func (s *source) Close(ctx context.Context) error {
	if !s.driver.confirm {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, closeTimeout)
	defer cancel()
	err := s.driver.roundTrip(ctx, s.ended)
	select {
	case <-s.ended:
		return nil // what is not connected has no subscription
	default:
	}
	if err != nil {
		return fmt.Errorf("go-micro: confirm the end of the subscription: %w", err)
	}
	return nil
}
