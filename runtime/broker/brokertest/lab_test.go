package brokertest

import (
	"bytes"
	"context"
	"slices"
	"testing"

	"github.com/micro-event/micro-event/runtime/broker"
	memorybroker "github.com/micro-event/micro-event/runtime/broker/memory"
)

// lab is storage in memory whose driver, sources or brokers are changed. A field
// that is nil changes nothing.
type lab struct {
	features Features
	info     func(*broker.Info)

	// Of the driver, with what it would do itself.
	connect func(ctx context.Context, next func(context.Context) error) error
	publish func(ctx context.Context, p publication, next func(context.Context, publication) error) error
	declare func(topic, queue string, next func(topic, queue string) error) error
	open    func(ctx context.Context, s broker.SourceSpec, next opener) (broker.Source, error)
	close   func(ctx context.Context, next func(context.Context) error) error
	watch   func(fn func(lost error))

	// Of the broker.
	broker func(*labBroker)
}

// publication is what Publish of a driver is given.
type publication struct {
	topic   string
	record  *broker.Record
	options broker.PublishOptions
}

// kept returns p with a record that may be kept.
func (p publication) kept() publication {
	p.record = &broker.Record{Key: p.record.Key, Header: slices.Clone(p.record.Header), Body: bytes.Clone(p.record.Body)}
	return p
}

type opener func(context.Context, broker.SourceSpec) (broker.Source, error)

// labCapacity is small, so that queues are filled fast.
const labCapacity = 128

// newLab returns a lab that change has changed, and brokers on it.
func newLab(change func(*lab)) (*lab, NewBroker) {
	l := &lab{features: Features{Capacity: labCapacity}}
	change(l)
	driver := memorybroker.NewDriver()
	broker.New(driver, memorybroker.Capacity(labCapacity)) // configures the driver
	connection := Share(driver)
	return l, func(_ testing.TB, opts ...broker.Option) broker.Broker {
		b := &labBroker{Engine: broker.New(&labDriver{connection(), l}, opts...)}
		if l.broker == nil {
			return b.Engine
		}
		l.broker(b)
		return b
	}
}

// labDriver is a connection to a lab.
type labDriver struct {
	broker.Driver
	lab *lab
}

func (d *labDriver) WatchLink(fn func(lost error)) {
	if d.lab.watch != nil {
		d.lab.watch(fn)
	}
}

func (d *labDriver) Info() broker.Info {
	info := d.Driver.Info()
	if d.lab.info != nil {
		d.lab.info(&info)
	}
	return info
}

func (d *labDriver) Connect(ctx context.Context) error {
	if d.lab.connect == nil {
		return d.Driver.Connect(ctx)
	}
	return d.lab.connect(ctx, d.Driver.Connect)
}

func (d *labDriver) Close(ctx context.Context) error {
	if d.lab.close == nil {
		return d.Driver.Close(ctx)
	}
	return d.lab.close(ctx, d.Driver.Close)
}

func (d *labDriver) Publish(ctx context.Context, topic string, r *broker.Record, o broker.PublishOptions) error {
	if d.lab.publish == nil {
		return d.Driver.Publish(ctx, topic, r, o)
	}
	ctx, cancel := d.Driver.(*connection).within(ctx) //nolint:forcetypeassert // as newLab makes it
	defer cancel()
	return d.lab.publish(ctx, publication{topic, r, o}, func(ctx context.Context, p publication) error {
		return d.Driver.Publish(ctx, p.topic, p.record, p.options)
	})
}

func (d *labDriver) Declare(ctx context.Context, topic, queue string) error {
	next := func(topic, queue string) error { return d.Driver.Declare(ctx, topic, queue) }
	if d.lab.declare == nil {
		return next(topic, queue)
	}
	return d.lab.declare(topic, queue, next)
}

func (d *labDriver) Open(ctx context.Context, s broker.SourceSpec) (broker.Source, error) {
	if d.lab.open == nil {
		return d.Driver.Open(ctx, s)
	}
	return d.lab.open(ctx, s, d.Driver.Open)
}

// labSource is a source with some of its methods changed.
type labSource struct {
	broker.Source
	receive func(ctx context.Context, buf []broker.Raw) (int, error)
	load    func(*broker.Raw) (broker.Record, error)
	settle  func(ctx context.Context, r *broker.Raw, o broker.Outcome, cause error) error
	extend  func(ctx context.Context, held []broker.Raw)
	close   func(ctx context.Context) error
}

func (s *labSource) Receive(ctx context.Context, buf []broker.Raw) (int, error) {
	if s.receive == nil {
		return s.Source.Receive(ctx, buf)
	}
	return s.receive(ctx, buf)
}

func (s *labSource) Load(r *broker.Raw) (broker.Record, error) {
	if s.load == nil {
		return s.Source.Load(r)
	}
	return s.load(r)
}

func (s *labSource) Settle(ctx context.Context, r *broker.Raw, o broker.Outcome, cause error) error {
	if s.settle == nil {
		return s.Source.Settle(ctx, r, o, cause)
	}
	return s.settle(ctx, r, o, cause)
}

func (s *labSource) Extend(ctx context.Context, held []broker.Raw) {
	if s.extend == nil {
		s.Source.Extend(ctx, held)
		return
	}
	s.extend(ctx, held)
}

func (s *labSource) Close(ctx context.Context) error {
	if s.close == nil {
		return s.Source.Close(ctx)
	}
	return s.close(ctx)
}

// sources lets change see every source that is opened.
func (l *lab) sources(change func(broker.SourceSpec, *labSource)) {
	open := l.open
	l.open = func(ctx context.Context, spec broker.SourceSpec, next opener) (broker.Source, error) {
		if open != nil {
			inner := next
			next = func(ctx context.Context, spec broker.SourceSpec) (broker.Source, error) {
				return open(ctx, spec, inner)
			}
		}
		src, err := next(ctx, spec)
		if err != nil {
			return nil, err
		}
		s := &labSource{Source: src}
		change(spec, s)
		return s, nil
	}
}

// labBroker is an engine with some of its methods changed.
type labBroker struct {
	*broker.Engine
	publish     func(ctx context.Context, topic string, m *broker.Message, opts []broker.PublishOption) error
	subscribe   func(ctx context.Context, topic string, h broker.Handler, opts []broker.SubscribeOption) (broker.Subscriber, error)
	unsubscribe func(ctx context.Context, sub broker.Subscriber) error
	disconnect  func(ctx context.Context) error
	redrive     func(ctx context.Context, deadLetter string) (int, error)
	health      func(ctx context.Context) error
}

func (b *labBroker) Publish(ctx context.Context, topic string, m *broker.Message, opts ...broker.PublishOption) error {
	if b.publish == nil {
		return b.Engine.Publish(ctx, topic, m, opts...)
	}
	return b.publish(ctx, topic, m, opts)
}

func (b *labBroker) Subscribe(ctx context.Context, topic string, h broker.Handler, opts ...broker.SubscribeOption) (broker.Subscriber, error) {
	subscribe := b.subscribe
	if subscribe == nil {
		subscribe = b.engineSubscribe
	}
	sub, err := subscribe(ctx, topic, h, opts)
	if err != nil || b.unsubscribe == nil {
		return sub, err
	}
	return &labSubscriber{sub, b}, nil
}

func (b *labBroker) engineSubscribe(ctx context.Context, topic string, h broker.Handler, opts []broker.SubscribeOption) (broker.Subscriber, error) {
	return b.Engine.Subscribe(ctx, topic, h, opts...)
}

// handlers changes the handler of every subscription, and its options.
func (b *labBroker) handlers(change func(topic string, h broker.Handler, o broker.SubscribeOptions) (broker.Handler, []broker.SubscribeOption)) {
	b.subscribe = func(ctx context.Context, topic string, h broker.Handler, opts []broker.SubscribeOption) (broker.Subscriber, error) {
		h, more := change(topic, h, broker.NewSubscribeOptions(opts...))
		return b.Engine.Subscribe(ctx, topic, h, append(opts, more...)...)
	}
}

// results changes what every handler returns.
func (b *labBroker) results(change func(error) error) {
	b.handlers(func(_ string, h broker.Handler, _ broker.SubscribeOptions) (broker.Handler, []broker.SubscribeOption) {
		return func(ctx context.Context, d *broker.Delivery) error { return change(h(ctx, d)) }, nil
	})
}

// settings adds options to every subscription.
func (b *labBroker) settings(more func(o broker.SubscribeOptions) []broker.SubscribeOption) {
	b.handlers(func(_ string, h broker.Handler, o broker.SubscribeOptions) (broker.Handler, []broker.SubscribeOption) {
		return h, more(o)
	})
}

func (b *labBroker) Disconnect(ctx context.Context) error {
	if b.disconnect == nil {
		return b.Engine.Disconnect(ctx)
	}
	return b.disconnect(ctx)
}

func (b *labBroker) Redrive(ctx context.Context, deadLetter string) (int, error) {
	if b.redrive == nil {
		return b.Engine.Redrive(ctx, deadLetter)
	}
	return b.redrive(ctx, deadLetter)
}

func (b *labBroker) Health(ctx context.Context) error {
	if b.health == nil {
		return b.Engine.Health(ctx)
	}
	return b.health(ctx)
}

// labSubscriber is a subscription with another Unsubscribe.
type labSubscriber struct {
	broker.Subscriber
	broker *labBroker
}

func (s *labSubscriber) Unsubscribe(ctx context.Context) error {
	return s.broker.unsubscribe(ctx, s.Subscriber)
}
