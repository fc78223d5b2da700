package migration

import (
	"context"

	gomicro "go-micro.dev/v5/broker"

	ordersv1 "github.com/micro-event/micro-event/examples/gen/shop/orders/v1"
	"github.com/micro-event/micro-event/runtime/broker"
	gomicrobroker "github.com/micro-event/micro-event/runtime/broker/gomicro"
	"github.com/micro-event/micro-event/runtime/event"
)

// NewSubscriber is a service that handles orders, on any broker.
func NewSubscriber(name string, b broker.Broker, handle Handle) (*event.Server, error) {
	s := event.NewServer(b, name)
	return s, ordersv1.SubscribeOrderCreated(s, event.Handler[*ordersv1.OrderCreated](handle))
}

// NewCheckout is the service that takes orders, on any broker. GoMicroHeaders is for
// subscribers that are still go-micro's.
func NewCheckout(b broker.Broker) func(ctx context.Context, e *ordersv1.OrderCreated) error {
	orders := event.NewClient(b, "shop/checkout", event.GoMicroHeaders())
	return func(ctx context.Context, e *ordersv1.OrderCreated) error {
		return ordersv1.PublishOrderCreated(ctx, orders, e)
	}
}

// OnTheirs is the broker of a new service among old ones.
func OnTheirs(b gomicro.Broker) broker.Broker {
	return gomicrobroker.FromGoMicro(b)
}

// OnOurs is the broker of an old service among new ones.
func OnOurs(b broker.Broker) gomicro.Broker {
	return gomicrobroker.ToGoMicro(b, gomicrobroker.SubscribeWith(broker.DropAfter(10)))
}
