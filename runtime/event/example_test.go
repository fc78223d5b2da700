package event_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/micro-event/micro-event/runtime/broker"
	"github.com/micro-event/micro-event/runtime/event"
)

// OrderCreated stands for a message of a schema, and what follows for the code
// that is generated from it.
type OrderCreated = wrapperspb.StringValue

var orderCreated = &event.Spec{
	Topic: "shop.orders.created",
	Type:  "google.protobuf.StringValue",
	Fields: func(m proto.Message, f *event.Fields) {
		f.SetKey(m.(*OrderCreated).GetValue())
	},
}

func PublishOrderCreated(ctx context.Context, p event.Publisher, e *OrderCreated) error {
	return p.PublishEvent(ctx, orderCreated, e)
}

func NewOrderCreatedPublisher(p event.Publisher) event.PublisherOf[*OrderCreated] {
	return event.NewPublisherOf[*OrderCreated](p, orderCreated)
}

func SubscribeOrderCreated(s *event.Server, h event.Handler[*OrderCreated], opts ...event.SubscribeOption) error {
	return event.Subscribe(s, orderCreated, h, opts...)
}

// handleOne starts a server with h, publishes what publish does, waits until one
// event was handled and stops the server.
func handleOne(publish func(context.Context, *broker.Engine) error, h event.Handler[*OrderCreated], opts ...event.SubscribeOption) {
	ctx, b := context.Background(), quietBroker()
	handled := make(chan struct{}, 1)
	s := event.NewServer(b, "billing")
	err := SubscribeOrderCreated(s, func(ctx context.Context, e *OrderCreated) error {
		err := h(ctx, e)
		if err == nil {
			handled <- struct{}{}
		}
		return err
	}, opts...)
	if err := errors.Join(err, s.Start(ctx)); err != nil {
		panic(err)
	}
	if err := publish(ctx, b); err != nil {
		panic(err)
	}
	<-handled
	if err := s.Stop(ctx); err != nil {
		panic(err)
	}
}

// A service that publishes and one that handles, in one process.
func Example() {
	ctx := context.Background()
	b := quietBroker() // any broker

	server := event.NewServer(b, "billing")
	handled := make(chan struct{})
	err := SubscribeOrderCreated(server, func(ctx context.Context, e *OrderCreated) error {
		fmt.Println("bill", e.GetValue(), "from", event.FromContext(ctx).Source())
		close(handled)
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	if err := server.Start(ctx); err != nil {
		log.Fatal(err)
	}

	client := event.NewClient(b, "shop/orders")
	if err := PublishOrderCreated(ctx, client, wrapperspb.String("o-1")); err != nil {
		log.Fatal(err)
	}
	<-handled
	if err := server.Stop(ctx); err != nil {
		log.Fatal(err)
	}
	// Output: bill o-1 from shop/orders
}

// Code that only publishes one type of event takes a publisher of it.
func ExampleNewPublisherOf() {
	handleOne(func(ctx context.Context, b *broker.Engine) error {
		orders := NewOrderCreatedPublisher(event.NewClient(b, "shop"))
		return orders.Publish(ctx, wrapperspb.String("o-1"))
	}, func(_ context.Context, e *OrderCreated) error {
		fmt.Println(e.GetValue())
		return nil
	})
	// Output: o-1
}

func ExampleWithHeader() {
	handleOne(func(ctx context.Context, b *broker.Engine) error {
		ctx = event.WithHeader(ctx, "Tenant", "acme")
		return PublishOrderCreated(ctx, event.NewClient(b, "shop"), wrapperspb.String("o-1"))
	}, func(ctx context.Context, _ *OrderCreated) error {
		fmt.Println(event.FromContext(ctx).Header("tenant"))
		return nil
	})
	// Output: acme
}

// A header that is not valid is an error when the event is published.
func ExampleWithHeader_invalid() {
	ctx := event.WithHeader(context.Background(), "ce-id", "1")
	err := PublishOrderCreated(ctx, event.NewClient(quietBroker(), "shop"), wrapperspb.String("o-1"))
	fmt.Println(errors.Is(err, event.ErrInvalidHeader))
	fmt.Println(err)
	// Output:
	// true
	// event: publish google.protobuf.StringValue: rejected: invalid header "ce-id": the name is reserved
}

// Receivers that know CloudEvents find the subject where they look for it.
func ExampleWithAttribute() {
	handleOne(func(ctx context.Context, b *broker.Engine) error {
		ctx = event.WithAttribute(ctx, "subject", "orders/o-1")
		return PublishOrderCreated(ctx, event.NewClient(b, "shop"), wrapperspb.String("o-1"))
	}, func(ctx context.Context, _ *OrderCreated) error {
		fmt.Println(event.FromContext(ctx).Header("ce-subject"))
		return nil
	})
	// Output: orders/o-1
}

// Publishing again with the id of the first attempt makes a duplicate that
// receivers can recognize, and not a second event.
func ExampleWithID() {
	handleOne(func(ctx context.Context, b *broker.Engine) error {
		ctx = event.WithID(ctx, "order-1-created")
		client := event.NewClient(b, "shop")
		err := PublishOrderCreated(ctx, client, wrapperspb.String("o-1"))
		if errors.Is(err, broker.ErrUncertain) {
			err = PublishOrderCreated(ctx, client, wrapperspb.String("o-1"))
		}
		return err
	}, func(ctx context.Context, _ *OrderCreated) error {
		fmt.Println(event.FromContext(ctx).ID())
		return nil
	})
	// Output: order-1-created
}

// The tenant of an event goes on to the events that its handler publishes; other
// headers do not.
func ExamplePropagate() {
	next := &loopback{}
	client := event.NewClient(next, "billing", event.Propagate("tenant"))
	handleOne(func(ctx context.Context, b *broker.Engine) error {
		ctx = event.WithHeader(event.WithHeader(ctx, "tenant", "acme"), "debug", "yes")
		return PublishOrderCreated(ctx, event.NewClient(b, "shop"), wrapperspb.String("o-1"))
	}, func(ctx context.Context, e *OrderCreated) error {
		return PublishOrderCreated(ctx, client, e)
	})
	fmt.Printf("%q %q\n", next.published[0].Header["tenant"], next.published[0].Header["debug"])
	// Output: "acme" ""
}

// Subscribers that still run on go-micro understand these events as well.
func ExampleGoMicroHeaders() {
	b := &loopback{}
	client := event.NewClient(b, "shop", event.GoMicroHeaders())
	ctx := event.WithID(context.Background(), "1")
	if err := PublishOrderCreated(ctx, client, wrapperspb.String("o-1")); err != nil {
		log.Fatal(err)
	}
	h := b.published[0].Header
	fmt.Println(h["Content-Type"], h["Micro-Topic"], h["Micro-Id"])
	fmt.Println(h["ce-type"])
	// Output:
	// application/protobuf shop.orders.created 1
	// google.protobuf.StringValue
}

func ExampleWithCodec() {
	b := &loopback{}
	client := event.NewClient(b, "shop", event.WithCodec(event.JSON))
	if err := PublishOrderCreated(context.Background(), client, wrapperspb.String("o-1")); err != nil {
		log.Fatal(err)
	}
	fmt.Println(b.published[0].Header["content-type"], string(b.published[0].Body))
	// Output: application/json "o-1"
}
