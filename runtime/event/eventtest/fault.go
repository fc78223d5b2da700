package eventtest

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/micro-event/micro-event/runtime/broker"
)

// Fault is something that goes wrong with one message on its way into a broker.
// Several may hit the same message; the first one given is the first to happen.
type Fault struct {
	n      int
	happen func(ctx context.Context, p *publishing) error
}

// Fail makes publishing the nth message fail with err. The message is not taken:
// the error matches broker.ErrNotDelivered, unless err says broker.ErrRejected.
func Fail(n int, err error) Fault {
	return Fault{n, func(context.Context, *publishing) error {
		if errors.Is(err, broker.ErrRejected) {
			return broker.Rejected(err)
		}
		return broker.NotDelivered(err)
	}}
}

// LoseAck takes the nth message and makes publishing it fail all the same: the
// error matches broker.ErrUncertain and err.
func LoseAck(n int, err error) Fault {
	return Fault{n, func(ctx context.Context, p *publishing) error {
		return errors.Join(p.next(ctx), err)
	}}
}

// Delay makes publishing the nth message take d longer.
func Delay(n int, d time.Duration) Fault {
	return Fault{n, func(ctx context.Context, p *publishing) error {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
			return p.next(ctx)
		case <-ctx.Done():
			return broker.NotDelivered(context.Cause(ctx))
		}
	}}
}

// Duplicate delivers the nth message twice.
func Duplicate(n int) Fault {
	return Fault{n, func(ctx context.Context, p *publishing) error {
		if err := p.next(ctx); err != nil {
			return err
		}
		if err := p.next(ctx); err != nil {
			return errors.Join(errOnce, err) // joined, it does not say that nothing was taken
		}
		return nil
	}}
}

var errOnce = errors.New("the message was taken once of twice")

// Reorder delivers the nth message after the next one that is not held so, even
// if both have the same key; if there is none, when the broker is disconnected.
// Publishing it succeeds at once.
func Reorder(n int) Fault {
	return Fault{n, func(_ context.Context, p *publishing) error {
		p.driver.hold(p.copy())
		return nil
	}}
}

// InjectFaults returns a driver that is d but for the faults, for brokers other
// than that of [NewBroker]. It publishes batches one by one.
func InjectFaults(d broker.Driver, faults ...Fault) broker.Driver {
	return &faultyDriver{Driver: d, faults: faults}
}

type faultyDriver struct {
	broker.Driver
	faults []Fault

	mu    sync.Mutex
	count int // of messages
	held  []*publishing
}

// publishing is one message and the faults that are still to happen to it.
type publishing struct {
	driver  *faultyDriver
	n       int
	topic   string
	record  *broker.Record
	options broker.PublishOptions
	faults  []Fault
}

// next goes on with the next fault, or publishes.
func (p *publishing) next(ctx context.Context) error {
	if len(p.faults) == 0 {
		return p.driver.Driver.Publish(ctx, p.topic, p.record, p.options)
	}
	rest := *p
	rest.faults = p.faults[1:]
	return p.faults[0].happen(ctx, &rest)
}

// copy returns p with a record of its own; the caller's is valid only until
// Publish returns.
func (p *publishing) copy() *publishing {
	c, r := *p, p.record
	c.record = &broker.Record{Key: r.Key, Header: slices.Clone(r.Header), Body: bytes.Clone(r.Body)}
	return &c
}

// Publish implements broker.Driver.
func (d *faultyDriver) Publish(ctx context.Context, topic string, r *broker.Record, o broker.PublishOptions) error {
	p := d.begin(&publishing{driver: d, topic: topic, record: r, options: o})
	err := p.next(ctx)
	for _, p := range d.heldFor(p) {
		if p.next(ctx) != nil { // it is not this caller's, and waits for the next one
			d.hold(p)
		}
	}
	return err
}

// begin counts p and gives it its faults.
func (d *faultyDriver) begin(p *publishing) *publishing {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.count++
	p.n = d.count
	for _, f := range d.faults {
		if f.n == p.n {
			p.faults = append(p.faults, f)
		}
	}
	return p
}

// heldFor takes what was held, unless p is held itself.
func (d *faultyDriver) heldFor(p *publishing) []*publishing {
	d.mu.Lock()
	defer d.mu.Unlock()
	if slices.ContainsFunc(d.held, func(other *publishing) bool { return other.n == p.n }) {
		return nil
	}
	late := d.held
	d.held = nil
	return late
}

func (d *faultyDriver) hold(p *publishing) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.held = append(d.held, p)
}

// Close implements broker.Driver.
func (d *faultyDriver) Close(ctx context.Context) error {
	d.mu.Lock()
	late := d.held
	d.held = nil
	d.mu.Unlock()
	var errs []error
	for _, p := range late {
		errs = append(errs, p.next(ctx))
	}
	return errors.Join(append(errs, d.Driver.Close(ctx))...)
}

// Configure implements broker.Configurer.
func (d *faultyDriver) Configure(v any) error {
	if c, ok := d.Driver.(broker.Configurer); ok {
		return c.Configure(v)
	}
	return broker.ErrUnsupported
}

// WatchLink implements broker.LinkWatcher.
func (d *faultyDriver) WatchLink(fn func(lost error)) {
	if w, ok := d.Driver.(broker.LinkWatcher); ok {
		w.WatchLink(fn)
	}
}

// Ping implements broker.Pinger.
func (d *faultyDriver) Ping(ctx context.Context) error {
	if p, ok := d.Driver.(broker.Pinger); ok {
		return p.Ping(ctx)
	}
	return nil
}
