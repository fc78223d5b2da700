package gomicrobroker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	gomicro "go-micro.dev/v5/broker"

	"github.com/micro-event/micro-event/runtime/broker"
)

// FromGoMicro returns b as a broker of ours. It connects and disconnects b, for
// whoever else uses it too, as go-micro's servers do.
func FromGoMicro(b gomicro.Broker, opts ...broker.Option) *broker.Engine {
	return broker.New(NewDriver(b), opts...)
}

// Driver is the [broker.Driver] of [FromGoMicro], for those who wrap it.
type Driver struct {
	theirs  gomicro.Broker
	queues  bool
	confirm bool           // subscriptions by a round trip
	calls   sync.WaitGroup // of theirs, some given up by their callers

	ended chan struct{} // closed by Close; made by Connect

	// address is theirs: that of the NATS broker must not be asked for while a
	// Disconnect runs.
	address atomic.Pointer[string]
}

var (
	_ broker.Driver     = (*Driver)(nil)
	_ broker.Configurer = (*Driver)(nil)
)

// NewDriver returns a driver that is not connected. See [FromGoMicro].
func NewDriver(b gomicro.Broker) *Driver {
	_, ours := b.(*Broker)
	d := &Driver{
		theirs:  b,
		queues:  ours || b.String() != "memory",
		confirm: !ours && b.String() == "nats",
	}
	d.noteAddress()
	return d
}

func (d *Driver) noteAddress() {
	address := d.theirs.Address()
	d.address.Store(&address)
}

// Configure implements [broker.Configurer].
func (d *Driver) Configure(v any) error {
	honoured, ok := v.(queues)
	if !ok {
		return broker.ErrUnsupported
	}
	d.queues = bool(honoured)
	return nil
}

// Info implements [broker.Driver].
func (d *Driver) Info() broker.Info {
	return broker.Info{
		Name:         "go-micro-" + d.theirs.String(),
		Address:      *d.address.Load(),
		PublishLevel: "taken by go-micro's broker",
	}
}

// Connect implements [broker.Driver].
func (d *Driver) Connect(ctx context.Context) error {
	err := d.within(ctx, func() error {
		err := d.theirs.Connect()
		if err == nil {
			d.noteAddress()
		}
		return err
	})
	d.ended = make(chan struct{})
	return err
}

// Close implements [broker.Driver]. It waits for the calls of go-micro's broker
// that callers have given up.
func (d *Driver) Close(ctx context.Context) error {
	close(d.ended)
	err := d.within(ctx, d.theirs.Disconnect)
	done := make(chan struct{})
	go func() {
		d.calls.Wait()
		close(done)
	}()
	select {
	case <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("go-micro: a call of its broker %s still runs, perhaps a subscriber's handler: %w",
			d.theirs.String(), context.Cause(ctx))
	}
}

// Publish implements [broker.Driver]. Go-micro's memory broker runs the
// subscribers' handlers meanwhile, so it is not waited for longer than ctx.
func (d *Driver) Publish(ctx context.Context, topic string, r *broker.Record, _ broker.PublishOptions) error {
	m := newMessage(r)
	return d.within(ctx, func() error { return marked(d.theirs.Publish(topic, m, gomicro.PublishContext(ctx))) })
}

// marked passes on what a broker of ours says behind go-micro's interface.
func marked(err error) error {
	p, ok := err.(*broker.PublishError) //nolint:errorlint // one that is wrapped may be about something else
	switch {
	case ok && errors.Is(p, broker.ErrNotDelivered):
		return broker.NotDelivered(p.Cause)
	case ok && errors.Is(p, broker.ErrRejected):
		return broker.Rejected(p.Cause)
	}
	return err
}

// within calls f, which knows no context, and waits for it as long as ctx lives.
func (d *Driver) within(ctx context.Context, f func() error) error {
	if ctx.Done() == nil {
		return f()
	}
	result := make(chan error, 1)
	d.calls.Go(func() { result <- f() })
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Declare implements [broker.Driver]. Go-micro has no queue without a member.
func (d *Driver) Declare(context.Context, string, string) error { return broker.ErrUnsupported }
