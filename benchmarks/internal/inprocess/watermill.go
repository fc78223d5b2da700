package inprocess

import (
	"context"
	"errors"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/components/cqrs"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/gochannel"

	ordersv1 "github.com/micro-event/micro-event/examples/gen/shop/orders/v1"

	"github.com/micro-event/micro-event/benchmarks/internal/measure"
	"github.com/micro-event/micro-event/benchmarks/internal/sample"
)

// newGoChannel returns one that keeps messages in order: without the confirmation, each
// message gets a goroutine of its own.
func newGoChannel() *gochannel.GoChannel {
	return gochannel.NewGoChannel(gochannel.Config{BlockPublishUntilSubscriberAck: true}, watermill.NopLogger{})
}

func watermillChannel(ctx context.Context, b *measure.Bench) (measure.Side, error) {
	pubsub, counter := newGoChannel(), measure.NewCounter()
	messages, err := pubsub.Subscribe(ctx, "orders")
	if err != nil {
		return measure.Side{}, err
	}
	ended := make(chan error, 1)
	b.Cleanup(func() error { return <-ended })
	b.Cleanup(pubsub.Close)
	go func() {
		var failed error
		for m := range messages {
			failed = errors.Join(failed, handle(counter, m.Payload))
			m.Ack()
		}
		ended <- failed
	}()
	side := each("Watermill gochannel", counter, func(_ context.Context, body []byte) error {
		m := message.NewMessage(watermill.NewUUID(), body)
		m.Metadata = sample.HeaderMap()
		return pubsub.Publish("orders", m)
	})
	side.Note = "waits for the handler, which keeps the order"
	return side, nil
}

func watermillCQRS(ctx context.Context, b *measure.Bench) (measure.Side, error) {
	pubsub, counter := newGoChannel(), measure.NewCounter()
	router, err := message.NewRouter(message.RouterConfig{}, watermill.NopLogger{})
	if err != nil {
		return measure.Side{}, err
	}
	processor, err := cqrs.NewEventProcessorWithConfig(router, cqrs.EventProcessorConfig{
		GenerateSubscribeTopic: func(p cqrs.EventProcessorGenerateSubscribeTopicParams) (string, error) { return p.EventName, nil },
		SubscriberConstructor:  func(cqrs.EventProcessorSubscriberConstructorParams) (message.Subscriber, error) { return pubsub, nil },
		Marshaler:              cqrs.ProtoMarshaler{},
	})
	if err != nil {
		return measure.Side{}, err
	}
	err = processor.AddHandlers(cqrs.NewEventHandler("billing", func(context.Context, *ordersv1.OrderCreated) error {
		counter.Add()
		return nil
	}))
	if err != nil {
		return measure.Side{}, err
	}
	bus, err := cqrs.NewEventBusWithConfig(pubsub, cqrs.EventBusConfig{
		GeneratePublishTopic: func(p cqrs.GenerateEventPublishTopicParams) (string, error) { return p.EventName, nil },
		OnPublish: func(p cqrs.OnEventSendParams) error {
			for name, value := range sample.HeaderMap() {
				p.Message.Metadata.Set(name, value)
			}
			return nil
		},
		Marshaler: cqrs.ProtoMarshaler{},
	})
	if err != nil {
		return measure.Side{}, err
	}
	ended := make(chan error, 1)
	go func() { ended <- router.Run(ctx) }()
	select {
	case <-router.Running():
	case err := <-ended:
		return measure.Side{}, errors.Join(errors.New("the router does not run"), err)
	}
	b.Cleanup(func() error { return errors.Join(router.Close(), <-ended, pubsub.Close()) })
	e := sample.Order()
	return measure.Side{
		Name: "Watermill CQRS", Note: "waits for the handler, which keeps the order", Delivered: counter.Wait,
		All: func(ctx context.Context, n int) error {
			for range n {
				if err := bus.Publish(ctx, e); err != nil {
					return err
				}
			}
			return nil
		},
	}, nil
}
