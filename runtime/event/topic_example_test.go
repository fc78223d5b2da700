package event_test

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/micro-event/micro-event/runtime/broker"
	"github.com/micro-event/micro-event/runtime/event"
)

// The events of one schema go to a topic that is chosen when the program runs.
func ExampleWithTopic() {
	region := "eu"
	handleOne(func(ctx context.Context, b *broker.Engine) error {
		ctx = event.WithTopic(ctx, "shop.orders."+region)
		return PublishOrderCreated(ctx, event.NewClient(b, "shop"), wrapperspb.String("o-1"))
	}, func(ctx context.Context, e *OrderCreated) error {
		fmt.Println(e.GetValue(), "from", event.FromContext(ctx).Topic())
		return nil
	}, event.Topic("shop.orders."+region))
	// Output: o-1 from shop.orders.eu
}

// Environments share a broker and see nothing of each other.
func ExampleTopicPrefix() {
	prefix := event.TopicPrefix("staging.")
	b := &loopback{}
	client := event.NewClient(b, "shop", prefix)
	server := event.NewServer(b, "billing", prefix)
	err := errors.Join(
		SubscribeOrderCreated(server, func(ctx context.Context, _ *OrderCreated) error {
			fmt.Println(event.FromContext(ctx).Topic())
			return nil
		}),
		server.Start(context.Background()),
		PublishOrderCreated(context.Background(), client, wrapperspb.String("o-1")),
	)
	fmt.Println(err)
	// Output:
	// staging.shop.orders.created
	// <nil>
}
