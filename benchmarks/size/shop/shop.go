// Package shop is the same program on any broker, for the sizes of binaries.
package shop

import (
	"context"
	"log"

	ordersv1 "github.com/micro-event/micro-event/examples/gen/shop/orders/v1"
	"github.com/micro-event/micro-event/runtime/broker"
	"github.com/micro-event/micro-event/runtime/event"
)

// Run publishes and handles an event.
func Run(b broker.Broker) {
	ctx, handled := context.Background(), make(chan struct{})
	billing := event.NewServer(b, "billing")
	check(ordersv1.SubscribeOrderCreated(billing, func(context.Context, *ordersv1.OrderCreated) error {
		close(handled)
		return nil
	}))
	check(billing.Start(ctx))
	check(ordersv1.PublishOrderCreated(ctx, event.NewClient(b, "shop"), &ordersv1.OrderCreated{OrderId: "o-1"}))
	<-handled
	check(billing.Stop(ctx))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
