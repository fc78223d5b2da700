package gomicrobroker

import (
	"context"
	"fmt"
	"sync"
	"time"

	gomicro "go-micro.dev/v5/broker"
	"go-micro.dev/v5/logger"

	"github.com/micro-event/micro-event/runtime/broker"
)

// ToGoMicro returns b as a broker of go-micro. Options that are wrong are errors
// of Connect.
func ToGoMicro(b broker.Broker, opts ...Option) *Broker {
	w := &Broker{ours: b, timeout: DefaultTimeout, options: *gomicro.NewOptions()}
	for _, o := range opts {
		o.apply(w)
	}
	return w
}

// Broker is a broker of go-micro on one of ours. It may be used concurrently.
type Broker struct {
	ours      broker.Broker
	timeout   time.Duration
	subscribe []broker.SubscribeOption

	mu      sync.Mutex
	options gomicro.Options
}

var _ gomicro.Broker = (*Broker)(nil)

// Init applies options of go-micro. ErrorHandler and Logger are used, Registry is
// kept for whoever asks, since our brokers know by themselves who subscribes.
// Addrs, Secure, TLSConfig and Codec are [broker.ErrUnsupported]: they belong to
// the constructor of the broker that was given to [ToGoMicro].
func (b *Broker) Init(opts ...gomicro.Option) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	o := b.options
	for _, opt := range opts {
		opt(&o)
	}
	for name, set := range map[string]bool{
		"Addrs": len(o.Addrs) > 0, "Secure": o.Secure, "TLSConfig": o.TLSConfig != nil, "Codec": o.Codec != nil,
	} {
		if set {
			return fmt.Errorf("go-micro: init %s: option %s: %w: give it to the constructor of the broker instead",
				b.String(), name, broker.ErrUnsupported)
		}
	}
	b.options = o
	return nil
}

// Options returns the options in force.
func (b *Broker) Options() gomicro.Options {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.options
}

// Address returns where the broker is reached, without credentials.
func (b *Broker) Address() string { return b.ours.Address() }

// String returns the kind of the broker, such as "memory".
func (b *Broker) String() string { return b.ours.String() }

// Connect connects our broker. It is a no-op when it is connected.
func (b *Broker) Connect() error {
	if b.timeout <= 0 {
		return fmt.Errorf("go-micro: connect %s: option Timeout: got %v, want more than 0", b.String(), b.timeout)
	}
	ctx, cancel := b.bound(context.Background())
	defer cancel()
	return b.ours.Connect(ctx)
}

// Disconnect drains the subscriptions of our broker and closes it. What runs
// longer than [Timeout] is cut short.
func (b *Broker) Disconnect() error {
	ctx, cancel := b.bound(context.Background())
	defer cancel()
	return b.ours.Disconnect(ctx)
}

// Publish publishes m, which it neither changes nor keeps. The context of
// PublishContext bounds it, or [Timeout] where that has no deadline. Errors are
// those of [broker.Broker].
func (b *Broker) Publish(topic string, m *gomicro.Message, opts ...gomicro.PublishOption) error {
	var o gomicro.PublishOptions
	for _, opt := range opts {
		opt(&o)
	}
	ctx, cancel := b.bound(o.Context)
	defer cancel()
	r := newRecord(m)
	message := r.Message()
	return b.ours.Publish(ctx, topic, &message)
}

// Subscribe registers h. An error of h is a failed attempt: the message is tried
// again, and comes to the dead letter, as the options of [SubscribeWith] say. So
// is nil without Ack after DisableAutoAck. A message whose Ack was called is
// done, whatever h returns. The context of SubscribeContext bounds the call.
func (b *Broker) Subscribe(topic string, h gomicro.Handler, opts ...gomicro.SubscribeOption) (gomicro.Subscriber, error) {
	o := gomicro.NewSubscribeOptions(opts...)
	ours := append([]broker.SubscribeOption{}, b.subscribe...)
	if o.Queue != "" {
		ours = append(ours, broker.Queue(o.Queue))
	}
	ctx, cancel := b.bound(o.Context)
	defer cancel()
	sub, err := b.ours.Subscribe(ctx, topic, func(_ context.Context, d *broker.Delivery) error {
		return b.handle(h, d, o.AutoAck)
	}, ours...)
	if err != nil {
		return nil, err
	}
	return &subscriber{sub, o, b}, nil
}

// bound returns a context for a call of go-micro, whose own may be nil.
func (b *Broker) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	if ctx == nil {
		ctx = context.Background()
	}
	if _, bounded := ctx.Deadline(); bounded {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, b.timeout)
}

func (b *Broker) handle(h gomicro.Handler, d *broker.Delivery, autoAck bool) error {
	e := newEvent(d)
	err := h(e)
	acked := e.end()
	if err == nil && !acked && !autoAck {
		err = ErrNotAcked
	}
	if err == nil {
		return nil
	}
	o := b.Options()
	if o.ErrorHandler != nil {
		failed := newEvent(d)
		failed.err = err
		failed.end()
		if herr := o.ErrorHandler(failed); herr != nil {
			o.Logger.Logf(logger.ErrorLevel, "error handler for a message of %q: %v", d.Topic, herr)
		}
	}
	if acked {
		o.Logger.Logf(logger.ErrorLevel, "the handler acknowledged a message of %q and failed: %v", d.Topic, err)
		return nil
	}
	return err
}

// subscriber is a subscription as go-micro sees it.
type subscriber struct {
	ours    broker.Subscriber
	options gomicro.SubscribeOptions
	broker  *Broker
}

// Options implements go-micro's Subscriber.
func (s *subscriber) Options() gomicro.SubscribeOptions { return s.options }

// Topic implements go-micro's Subscriber.
func (s *subscriber) Topic() string { return s.ours.Topic() }

// Unsubscribe implements go-micro's Subscriber. It is idempotent.
func (s *subscriber) Unsubscribe() error {
	ctx, cancel := s.broker.bound(context.Background())
	defer cancel()
	return s.ours.Unsubscribe(ctx)
}

// messageOf returns the message of a delivery, whose body is the handler's.
func messageOf(d *broker.Delivery) *gomicro.Message {
	m := &gomicro.Message{Header: make(map[string]string, len(d.Message.Header)+1), Body: d.Message.Body}
	for name, value := range d.Message.Header {
		m.Header[outerName(name)] = value
	}
	if d.Message.Key != "" {
		m.Header[keyHeader] = d.Message.Key
	}
	return m
}
