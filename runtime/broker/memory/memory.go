package memorybroker

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/micro-event/micro-event/runtime/broker"
)

// DefaultCapacity is how many messages a queue holds unless [Capacity] says
// otherwise.
const DefaultCapacity = 1024

// New returns a broker that lives in this process. Options that are wrong are
// errors of Connect.
func New(opts ...broker.Option) *broker.Engine {
	return broker.New(NewDriver(), opts...)
}

type capacity int

// Capacity sets how many messages each queue holds: waiting, running and parked
// for a retry. What a queue once held it uses again, with bodies of up to 1 KiB.
// Default [DefaultCapacity].
func Capacity(n int) broker.Option { return broker.DriverOption(capacity(n)) }

// Driver is the [broker.Driver] of this package, for those who wrap it.
type Driver struct {
	capacity int
	closed   atomic.Bool

	topics sync.Map // of *topic, by name
}

var (
	_ broker.Driver     = (*Driver)(nil)
	_ broker.Configurer = (*Driver)(nil)
)

// NewDriver returns a driver without queues.
func NewDriver() *Driver {
	return &Driver{capacity: DefaultCapacity}
}

// Configure implements [broker.Configurer].
func (d *Driver) Configure(v any) error {
	c, ok := v.(capacity)
	if !ok {
		return broker.ErrUnsupported
	}
	if c < 1 {
		return fmt.Errorf("capacity is %d, want at least 1", c)
	}
	d.capacity = int(c)
	return nil
}

// Info implements [broker.Driver].
func (d *Driver) Info() broker.Info {
	return broker.Info{
		Name:         "memory",
		Address:      "memory://",
		PublishLevel: "enqueued on every queue of the topic",
		Capabilities: broker.Capabilities{
			AtLeastOnce:           true,
			QueueOutlivesMembers:  true,
			DeclareQueue:          true,
			KeyOrderAcrossMembers: true,
			PersistentAttempts:    true,
			DeliveryCount:         true,
			KnowsSubscribers:      true,
			NoWait:                true,
		},
	}
}

// Connect implements [broker.Driver].
func (d *Driver) Connect(context.Context) error {
	d.closed.Store(false)
	return nil
}

// Publish implements [broker.Driver].
func (d *Driver) Publish(ctx context.Context, name string, r *broker.Record, o broker.PublishOptions) error {
	t := d.topic(name)
	p, err := t.publish(r, o.NoWait)
	if err != nil || p == nil {
		return err
	}
	select {
	case err := <-p.done:
		return err
	case <-ctx.Done():
		if t.withdraw(p) {
			return broker.NotDelivered(context.Cause(ctx))
		}
		return <-p.done // it was enqueued, or failed, at the same moment
	}
}

// Declare implements [broker.Driver].
func (d *Driver) Declare(_ context.Context, topic, queue string) error {
	d.topic(topic).declare(queue)
	return nil
}

// Open implements [broker.Driver].
func (d *Driver) Open(_ context.Context, spec broker.SourceSpec) (broker.Source, error) {
	return d.topic(spec.Topic).open(spec.Queue), nil
}

// Close implements [broker.Driver]. Queues and what they hold stay.
func (d *Driver) Close(context.Context) error {
	d.closed.Store(true)
	for _, t := range d.topics.Range {
		t.(*topic).failWaiting(broker.NotDelivered(broker.ErrClosed)) //nolint:forcetypeassert // the map holds nothing else
	}
	return nil
}

func (d *Driver) topic(name string) *topic {
	t, ok := d.topics.Load(name)
	if !ok {
		t, _ = d.topics.LoadOrStore(name, &topic{driver: d, named: make(map[string]*queue)})
	}
	return t.(*topic) //nolint:forcetypeassert // the map holds nothing else
}
