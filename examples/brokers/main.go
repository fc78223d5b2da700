// Brokers publishes orders and bills them over the broker that a URL names: the
// same events and the same handler on each.
//
//	go run . -broker memory://
//	go run . -broker http:// -role subscribe
//	go run . -broker http:// -role publish
//	go run . -broker nats://127.0.0.1:4222
//	go run . -broker kafka://127.0.0.1:9092
//	go run . -broker mqtt://127.0.0.1:1883
//	go run . -broker amqp://guest:guest@127.0.0.1:5672
//	go run . -broker redis://127.0.0.1:6379
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	ordersv1 "github.com/micro-event/micro-event/examples/gen/shop/orders/v1"
	"github.com/micro-event/micro-event/runtime/broker"
	"github.com/micro-event/micro-event/runtime/event"
)

func main() {
	address := flag.String("broker", "memory://", "URL of the broker")
	role := flag.String("role", "both", "publish, subscribe or both")
	count := flag.Int("count", 5, "orders to publish")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Stdout, *address, *role, *count)
	stop()
	if err != nil {
		log.Fatal(err)
	}
}

// run connects, plays the role and disconnects.
func run(ctx context.Context, w io.Writer, address, role string, count int) (err error) {
	b, err := open(address)
	if err != nil {
		return err
	}
	if err := b.Connect(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Disconnect(context.WithoutCancel(ctx))) }()
	s := &shop{broker: b, out: log.New(w, "", 0)}
	switch role {
	case "publish":
		return s.publish(ctx, count)
	case "subscribe":
		return s.subscribe(ctx)
	case "both":
		return s.both(ctx, count)
	}
	return fmt.Errorf("role %q: want publish, subscribe or both", role)
}

// shop is both sides of an order.
type shop struct {
	broker  broker.Broker
	out     *log.Logger
	handled chan struct{} // told of each order, if there is one
}

// publish takes orders.
func (s *shop) publish(ctx context.Context, count int) error {
	checkout := event.NewClient(s.broker, "shop/checkout")
	begin := time.Now().UnixMilli()
	for i := range count {
		id := fmt.Sprintf("o-%d-%d", begin, i+1)
		if err := ordersv1.PublishOrderCreated(ctx, checkout, &ordersv1.OrderCreated{OrderId: id, TenantId: "acme"}); err != nil {
			return err
		}
		s.out.Printf("published %s", id)
	}
	return nil
}

// billing handles orders.
func (s *shop) billing() (*event.Server, error) {
	server := event.NewServer(s.broker, "billing")
	return server, ordersv1.SubscribeOrderCreated(server, func(ctx context.Context, e *ordersv1.OrderCreated) error {
		in := event.FromContext(ctx)
		s.out.Printf("handled   %s, key %s, tenant %s", e.GetOrderId(), in.Key(), in.Header("tenant"))
		if s.handled != nil {
			s.handled <- struct{}{}
		}
		return nil
	})
}

// subscribe handles orders until ctx ends.
func (s *shop) subscribe(ctx context.Context) error {
	server, err := s.billing()
	if err != nil {
		return err
	}
	return server.Run(ctx)
}

// both publishes orders and returns when all were handled.
func (s *shop) both(ctx context.Context, count int) (err error) {
	s.handled = make(chan struct{}, count)
	server, err := s.billing()
	if err != nil {
		return err
	}
	if err := server.Start(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Stop(context.WithoutCancel(ctx))) }()
	if err := s.publish(ctx, count); err != nil {
		return err
	}
	for range count {
		select {
		case <-s.handled:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}
