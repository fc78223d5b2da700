// Package shop is the same program on any broker, for the sizes of binaries.
package shop

import (
	"context"

	ordersv1 "github.com/micro-event/micro-event/examples/gen/shop/orders/v1"
	"github.com/micro-event/micro-event/runtime/broker"
	"github.com/micro-event/micro-event/runtime/event"
)

// Run publishes and handles an event.
func Run(b broker.Broker) error {
	ctx, handled := context.Background(), make(chan struct{})
	billing := event.NewServer(b, "billing")
	err := ordersv1.SubscribeOrderCreated(billing, func(context.Context, *ordersv1.OrderCreated) error {
		close(handled)
		return nil
	})
	if err != nil {
		return err
	}
	if err := billing.Start(ctx); err != nil {
		return err
	}
	if err := ordersv1.PublishOrderCreated(ctx, event.NewClient(b, "shop"), &ordersv1.OrderCreated{OrderId: "o-1"}); err != nil {
		return err
	}
	<-handled
	return billing.Stop(ctx)
}
