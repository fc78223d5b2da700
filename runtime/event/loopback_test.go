package event_test

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"google.golang.org/protobuf/proto"

	eventv1 "github.com/micro-event/micro-event/proto/micro/event/v1"
	"github.com/micro-event/micro-event/runtime/broker"
	"github.com/micro-event/micro-event/runtime/event"
)

// loopback is a broker that runs handlers inside Publish, once, and keeps their
// errors, so that tests see exactly what the event layer tells a broker.
type loopback struct {
	broker.Broker // nil: the other methods are not to be called

	declares bool             // whether queues can be declared
	refuse   map[string]error // what Subscribe returns, by topic
	fail     error            // what Connect and Publish return

	mu        sync.Mutex
	connected bool
	calls     []string
	published []broker.Message
	subs      []*loopbackSub
	outcomes  []error
}

type loopbackSub struct {
	broker  *loopback
	topic   string
	handler broker.Handler
	ctx     context.Context
	options broker.SubscribeOptions
}

func (b *loopback) Connected() bool      { return b.connected }
func (b *loopback) DeclaresQueues() bool { return b.declares }

func (b *loopback) note(format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.calls = append(b.calls, fmt.Sprintf(format, args...))
}

func (b *loopback) Connect(context.Context) error {
	b.note("connect")
	b.connected = b.fail == nil
	return b.fail
}

func (b *loopback) Disconnect(context.Context) error {
	b.note("disconnect")
	b.connected = false
	b.subs = nil
	return nil
}

func (b *loopback) Publish(ctx context.Context, topic string, m *broker.Message, opts ...broker.PublishOption) error {
	if len(opts) > 0 {
		return errors.New("the event layer passes no option")
	}
	if b.fail != nil {
		return b.fail
	}
	b.mu.Lock()
	b.published = append(b.published, m.Clone())
	subs := b.subs
	b.mu.Unlock()
	for _, s := range subs {
		if s.topic == topic {
			err := s.handler(context.WithoutCancel(s.ctx), &broker.Delivery{Topic: topic, Message: m.Clone(), Attempt: 1})
			b.mu.Lock()
			b.outcomes = append(b.outcomes, err)
			b.mu.Unlock()
		}
	}
	return nil
}

func (b *loopback) Subscribe(
	ctx context.Context, topic string, h broker.Handler, opts ...broker.SubscribeOption,
) (broker.Subscriber, error) {
	s := &loopbackSub{b, topic, h, ctx, broker.NewSubscribeOptions(opts...)}
	b.note("subscribe %s", topic)
	if err := b.refuse[topic]; err != nil {
		return nil, err
	}
	b.subs = append(b.subs, s)
	return s, nil
}

func (s *loopbackSub) Options() broker.SubscribeOptions { return s.options }
func (s *loopbackSub) Topic() string                    { return s.topic }

func (s *loopbackSub) Unsubscribe(ctx context.Context) error {
	s.broker.note("unsubscribe %s", s.topic)
	return ctx.Err()
}

// The events of these tests. Messages of the option schema are at hand and have
// a string field for a key and one for a header.
var (
	fieldSpec = &event.Spec{
		Topic:   "shop.fields",
		Type:    "micro.event.v1.HeaderField",
		Aliases: []string{"shop.v0.Field"},
		Fields: func(m proto.Message, f *event.Fields) {
			e := m.(*eventv1.HeaderField)
			f.SetKey(e.GetField())
			f.SetHeader("tenant", e.GetName())
		},
	}
	optionsSpec = &event.Spec{Topic: "shop.fields", Type: "micro.event.v1.EventOptions"}
)

func field(name, path string) *eventv1.HeaderField {
	return &eventv1.HeaderField{Name: name, Field: path}
}
