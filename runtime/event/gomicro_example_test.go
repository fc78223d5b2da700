package event_test

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/micro-event/micro-event/runtime/broker"
	"github.com/micro-event/micro-event/runtime/event"
)

// These examples show go-micro's vocabulary: its line in a comment, ours below.

// An event that is published to one topic:
//
//	ev := micro.NewEvent("shop.orders.created", service.Client())
//	err := ev.Publish(ctx, order)
func Example_goMicroEvent() {
	handleOne(func(ctx context.Context, b *broker.Engine) error {
		ev := NewOrderCreatedPublisher(event.NewClient(b, "shop"))
		return ev.Publish(ctx, wrapperspb.String("o-1"))
	}, func(_ context.Context, e *OrderCreated) error {
		fmt.Println("bill", e.GetValue())
		return nil
	})
	// Output: bill o-1
}

// A topic that is known only when the program runs, and a message whose schema
// has no option:
//
//	ev := micro.NewEvent("shop.notes."+region, service.Client())
//	err := ev.Publish(ctx, note)
func Example_goMicroEventWithoutOption() {
	b, region := &loopback{}, "eu"
	notes := &event.Spec{Topic: "shop.notes." + region, Type: "google.protobuf.BytesValue"}
	ctx, server := context.Background(), event.NewServer(b, "billing")
	err := errors.Join(
		event.Subscribe(server, notes, func(ctx context.Context, e *wrapperspb.BytesValue) error {
			fmt.Println(event.FromContext(ctx).Topic(), string(e.GetValue()))
			return nil
		}),
		server.Start(ctx),
	)
	ev := event.NewPublisherOf[*wrapperspb.BytesValue](event.NewClient(b, "shop"), notes)
	fmt.Println(errors.Join(err, ev.Publish(ctx, wrapperspb.Bytes([]byte("hello")))))
	// Output:
	// shop.notes.eu hello
	// <nil>
}

// A message is not made before it is published:
//
//	msg := c.NewMessage("shop.orders.created", order)
//	err := c.Publish(ctx, msg)
func Example_goMicroNewMessage() {
	handleOne(func(ctx context.Context, b *broker.Engine) error {
		return PublishOrderCreated(ctx, event.NewClient(b, "shop"), wrapperspb.String("o-1"))
	}, func(_ context.Context, e *OrderCreated) error {
		fmt.Println("bill", e.GetValue())
		return nil
	})
	// Output: bill o-1
}

// A subscriber is registered in one step:
//
//	err := s.Subscribe(s.NewSubscriber("shop.orders.created", handle, server.SubscriberQueue("billing")))
func Example_goMicroNewSubscriber() {
	ctx, b := context.Background(), &loopback{}
	s := event.NewServer(b, "billing") // the queue
	err := errors.Join(
		SubscribeOrderCreated(s, func(_ context.Context, e *OrderCreated) error {
			fmt.Println("bill", e.GetValue())
			return nil
		}),
		s.Start(ctx),
		PublishOrderCreated(ctx, event.NewClient(b, "shop"), wrapperspb.String("o-1")),
	)
	fmt.Println(err)
	// Output:
	// bill o-1
	// <nil>
}

// The topic may be a parameter, as in go-micro:
//
//	err := micro.RegisterSubscriber(topic, service.Server(), handle)
func Example_goMicroRegisterSubscriber() {
	ctx, b := context.Background(), &loopback{}
	s, topic := event.NewServer(b, "billing"), "shop.orders.eu"
	err := errors.Join(
		SubscribeOrderCreated(s, func(ctx context.Context, e *OrderCreated) error {
			fmt.Println(event.FromContext(ctx).Topic(), e.GetValue())
			return nil
		}, event.Topic(topic)),
		s.Start(ctx),
		PublishOrderCreated(event.WithTopic(ctx, topic), event.NewClient(b, "shop"), wrapperspb.String("o-1")),
	)
	fmt.Println(err)
	// Output:
	// shop.orders.eu o-1
	// <nil>
}

// Metadata are headers. What came in does not go out again by itself:
//
//	ctx = metadata.Set(ctx, "tenant", "acme")
//	tenant, ok := metadata.Get(ctx, "tenant")
func Example_goMicroMetadata() {
	handleOne(func(ctx context.Context, b *broker.Engine) error {
		ctx = event.WithHeader(ctx, "tenant", "acme")
		return PublishOrderCreated(ctx, event.NewClient(b, "shop"), wrapperspb.String("o-1"))
	}, func(ctx context.Context, _ *OrderCreated) error {
		fmt.Println(event.FromContext(ctx).Header("tenant"))
		return nil
	})
	// Output: acme
}

// A raw publish and a typed one on one topic. A raw subscriber sees both, a typed
// one only what says that it is an event:
//
//	err := b.Publish("shop.orders.created", &broker.Message{Body: []byte("hello")})
//	err := ev.Publish(ctx, order)
func Example_goMicroRawAndTyped() {
	ctx, b := context.Background(), &loopback{}
	typed := event.NewServer(b, "billing")
	_, err := b.Subscribe(ctx, "shop.orders.created", func(_ context.Context, d *broker.Delivery) error {
		fmt.Printf("raw: %d bytes, type %q\n", len(d.Message.Body), d.Message.Header["ce-type"])
		return nil
	}, broker.Queue("audit"))
	err = errors.Join(err,
		SubscribeOrderCreated(typed, func(_ context.Context, e *OrderCreated) error {
			fmt.Println("typed:", e.GetValue())
			return nil
		}),
		typed.Start(ctx),
		b.Publish(ctx, "shop.orders.created", &broker.Message{Body: []byte("hello")}),
		PublishOrderCreated(ctx, event.NewClient(b, "shop"), wrapperspb.String("o-1")),
	)
	fmt.Println(err, errors.Is(b.outcomes[1], event.ErrNotEvent))
	// Output:
	// raw: 5 bytes, type ""
	// raw: 5 bytes, type "google.protobuf.StringValue"
	// typed: o-1
	// <nil> true
}
