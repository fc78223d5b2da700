package inprocess

import (
	"context"
	"errors"

	"go-micro.dev/v5"
	gomicro "go-micro.dev/v5/broker"
	"go-micro.dev/v5/client"
	"go-micro.dev/v5/metadata"
	"go-micro.dev/v5/registry"
	"go-micro.dev/v5/server"

	ordersv1 "github.com/micro-event/micro-event/examples/gen/shop/orders/v1"

	"github.com/micro-event/micro-event/benchmarks/internal/measure"
	"github.com/micro-event/micro-event/benchmarks/internal/sample"
)

const gomicroNote = "the handler runs inside Publish; nothing is queued, copied or tried again"

func gomicroBroker(_ context.Context, b *measure.Bench) (measure.Side, error) {
	memory, counter := gomicro.NewMemoryBroker(), measure.NewCounter()
	if err := memory.Connect(); err != nil {
		return measure.Side{}, err
	}
	b.Cleanup(memory.Disconnect)
	_, err := memory.Subscribe("orders", func(e gomicro.Event) error { return handle(counter, e.Message().Body) })
	if err != nil {
		return measure.Side{}, err
	}
	side := each("go-micro, memory broker", counter, func(_ context.Context, body []byte) error {
		return memory.Publish("orders", &gomicro.Message{Header: sample.HeaderMap(), Body: body})
	})
	side.Note = gomicroNote
	return side, nil
}

func gomicroEvent(ctx context.Context, b *measure.Bench) (measure.Side, error) {
	memory, counter := gomicro.NewMemoryBroker(), measure.NewCounter()
	if err := memory.Connect(); err != nil {
		return measure.Side{}, err
	}
	s := server.NewServer(server.Name("billing"), server.Address("127.0.0.1:0"), server.Broker(memory), server.Registry(registry.NewMemoryRegistry()))
	err := s.Subscribe(s.NewSubscriber("orders", func(context.Context, *ordersv1.OrderCreated) error {
		counter.Add()
		return nil
	}))
	if err := errors.Join(err, s.Start()); err != nil {
		return measure.Side{}, err
	}
	b.Cleanup(s.Stop)
	e, out := sample.Order(), micro.NewEvent("orders", client.NewClient(client.Broker(memory), client.ContentType(sample.ContentType)))
	return measure.Side{
		Name: "go-micro, event", Note: gomicroNote, Delivered: counter.Wait,
		All: func(_ context.Context, n int) error {
			for range n {
				if err := out.Publish(metadata.NewContext(ctx, sample.HeaderMap()), e); err != nil {
					return err
				}
			}
			return nil
		},
	}, nil
}
