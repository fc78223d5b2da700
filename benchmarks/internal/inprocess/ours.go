package inprocess

import (
	"context"
	"errors"

	ordersv1 "github.com/micro-event/micro-event/examples/gen/shop/orders/v1"
	"github.com/micro-event/micro-event/runtime/broker"
	memorybroker "github.com/micro-event/micro-event/runtime/broker/memory"
	"github.com/micro-event/micro-event/runtime/event"

	"github.com/micro-event/micro-event/benchmarks/internal/measure"
	"github.com/micro-event/micro-event/benchmarks/internal/sample"
)

// typed goes through the generated functions; the handler reads an attribute and a
// header.
func typed(ctx context.Context, b *measure.Bench) (measure.Side, error) {
	memory, counter := memorybroker.New(), measure.NewCounter()
	server, client := event.NewServer(memory, "billing"), event.NewClient(memory, "shop")
	err := ordersv1.SubscribeOrderCreated(server, func(ctx context.Context, _ *ordersv1.OrderCreated) error {
		if e := event.FromContext(ctx); e.ID() == "" || e.Header("tenant") != "acme" {
			return errors.New("no id, or no tenant")
		}
		counter.Add()
		return nil
	})
	if err := errors.Join(err, server.Start(ctx)); err != nil {
		return measure.Side{}, err
	}
	b.Cleanup(func() error { return server.Stop(context.Background()) })
	e := sample.Order()
	return measure.Side{
		Name: "micro-event", Delivered: counter.Wait,
		All: func(ctx context.Context, n int) error {
			for range n {
				if err := ordersv1.PublishOrderCreated(ctx, client, e); err != nil {
					return err
				}
			}
			return nil
		},
	}, nil
}

// raw goes through the broker alone, with a message as go-micro has it.
func raw(ctx context.Context, b *measure.Bench) (measure.Side, error) {
	memory, counter := memorybroker.New(), measure.NewCounter()
	if err := memory.Connect(ctx); err != nil {
		return measure.Side{}, err
	}
	b.Cleanup(func() error { return memory.Disconnect(context.Background()) })
	_, err := memory.Subscribe(ctx, "orders", func(_ context.Context, d *broker.Delivery) error {
		return handle(counter, d.Message.Body)
	}, broker.Queue("billing"))
	if err != nil {
		return measure.Side{}, err
	}
	side := each("micro-event, Broker only", counter, func(ctx context.Context, body []byte) error {
		m := broker.Message{Key: sample.Key, Header: sample.HeaderMap(), Body: body}
		return memory.Publish(ctx, "orders", &m)
	})
	return side, nil
}
