// Package migration is the code of the worked migration in docs/from-go-micro.md: a
// shop whose services speak through go-micro moves one service at a time.
package migration

import (
	"context"

	"go-micro.dev/v5"
	gomicro "go-micro.dev/v5/broker"
	"go-micro.dev/v5/client"
	"go-micro.dev/v5/registry"
	"go-micro.dev/v5/server"

	ordersv1 "github.com/micro-event/micro-event/examples/gen/shop/orders/v1"
)

// Handle is what a service does with an order.
type Handle func(ctx context.Context, e *ordersv1.OrderCreated) error

// OldCheckout is the service that takes orders, as it was.
func OldCheckout(b gomicro.Broker) func(ctx context.Context, e *ordersv1.OrderCreated) error {
	service := oldService("checkout", b)
	created := micro.NewEvent("shop.orders.created", service.Client())
	return func(ctx context.Context, e *ordersv1.OrderCreated) error {
		return created.Publish(ctx, e)
	}
}

// OldSubscriber is a service that handles orders, such as billing, as it was.
func OldSubscriber(name string, b gomicro.Broker, handle Handle) (micro.Service, error) {
	service := oldService(name, b)
	return service, micro.RegisterSubscriber("shop.orders.created", service.Server(), handle, server.SubscriberQueue(name))
}

// oldService has a server and a client of its own, so that several fit into a process.
func oldService(name string, b gomicro.Broker) micro.Service {
	return micro.NewService(
		micro.Server(server.NewServer(server.Address("127.0.0.1:0"))),
		micro.Client(client.NewClient()),
		micro.Registry(registry.NewMemoryRegistry()),
		micro.Name(name),
		micro.Broker(b),
	)
}
