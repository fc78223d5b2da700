package overhttp

import (
	"context"
	"errors"

	"connectrpc.com/connect"
	"github.com/ThreeDotsLabs/watermill"
	watermillhttp "github.com/ThreeDotsLabs/watermill-http/v2/pkg/http"
	"github.com/ThreeDotsLabs/watermill/message"
	cloudevents "github.com/cloudevents/sdk-go/v2"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
	"github.com/go-chi/chi"
	gomicro "go-micro.dev/v5/broker"
	"go-micro.dev/v5/registry"
	"google.golang.org/protobuf/types/known/emptypb"

	ordersv1 "github.com/micro-event/micro-event/examples/gen/shop/orders/v1"

	"github.com/micro-event/micro-event/benchmarks/internal/measure"
	"github.com/micro-event/micro-event/benchmarks/internal/sample"
)

func watermillHTTP(ctx context.Context, b *measure.Bench) (measure.Side, error) {
	counter := measure.NewCounter()
	config := watermillhttp.SubscriberConfig{Router: chi.NewRouter(), UnmarshalMessageFunc: watermillhttp.DefaultUnmarshalMessageFunc}
	subscriber, err := watermillhttp.NewSubscriber("127.0.0.1:0", config, watermill.NopLogger{})
	if err != nil {
		return measure.Side{}, err
	}
	messages, err := subscriber.Subscribe(ctx, "/orders")
	if err != nil {
		return measure.Side{}, err
	}
	go func() {
		for m := range messages {
			if handle(counter, m.Payload) != nil {
				m.Nack() // the publisher fails
				continue
			}
			m.Ack()
		}
	}()
	url, err := serve(ctx, b, config.Router)
	if err != nil {
		return measure.Side{}, err
	}
	b.Cleanup(subscriber.Close)
	publisher, err := watermillhttp.NewPublisher(watermillhttp.PublisherConfig{
		MarshalMessageFunc: watermillhttp.DefaultMarshalMessageFunc, Client: client(b),
	}, watermill.NopLogger{})
	if err != nil {
		return measure.Side{}, err
	}
	return measure.Side{Name: "Watermill HTTP", Delivered: counter.Wait, Each: func(context.Context) error {
		body, err := marshal()
		if err != nil {
			return err
		}
		m := message.NewMessage(watermill.NewUUID(), body)
		m.Metadata = sample.HeaderMap()
		return publisher.Publish(url+"/orders", m)
	}}, nil
}

func cloudEvents(ctx context.Context, b *measure.Bench) (measure.Side, error) {
	counter := measure.NewCounter()
	l, err := listen(ctx)
	if err != nil {
		return measure.Side{}, err
	}
	in, err := cloudevents.NewClientHTTP(cehttp.WithListener(l))
	if err != nil {
		return measure.Side{}, err
	}
	receiving, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() {
		ended <- in.StartReceiver(receiving, func(e cloudevents.Event) error { return handle(counter, e.Data()) })
	}()
	b.Cleanup(func() error {
		cancel()
		return <-ended
	})
	url := "http://" + l.Addr().String()
	out, err := cloudevents.NewHTTP(cloudevents.WithTarget(url), cehttp.WithRoundTripper(transport()))
	if err != nil {
		return measure.Side{}, err
	}
	sdk, err := cloudevents.NewClient(out, cloudevents.WithUUIDs())
	if err != nil {
		return measure.Side{}, err
	}
	return measure.Side{Name: "CloudEvents SDK", Delivered: counter.Wait, Each: func(ctx context.Context) error {
		body, err := marshal()
		if err != nil {
			return err
		}
		e, err := sample.CloudEvent(body)
		if err != nil {
			return err
		}
		if result := sdk.Send(ctx, e); !cloudevents.IsACK(result) {
			return result
		}
		return nil
	}}, nil
}

// connectUnary is a remote procedure call instead of an event.
func connectUnary(ctx context.Context, b *measure.Bench) (measure.Side, error) {
	const procedure = "/shop.orders.v1.Orders/Created"
	counter := measure.NewCounter()
	url, err := serve(ctx, b, connect.NewUnaryHandler(procedure, func(context.Context, *connect.Request[ordersv1.OrderCreated]) (*connect.Response[emptypb.Empty], error) {
		counter.Add()
		return connect.NewResponse(new(emptypb.Empty)), nil
	}))
	if err != nil {
		return measure.Side{}, err
	}
	caller := connect.NewClient[ordersv1.OrderCreated, emptypb.Empty](client(b), url+procedure)
	return measure.Side{Name: "connect, unary", Delivered: counter.Wait, Each: func(ctx context.Context) error {
		request := connect.NewRequest(order())
		for _, a := range sample.Attributes() {
			request.Header().Set("ce-"+a.Name, a.Value)
		}
		_, err := caller.CallUnary(ctx, request)
		return err
	}}, nil
}

// gomicroHTTP publishes in the background: nil says nothing about the delivery.
func gomicroHTTP(_ context.Context, b *measure.Bench) (measure.Side, error) {
	shared := registry.NewMemoryRegistry()
	counter := measure.NewCounter()
	publisher, subscriber := gomicro.NewHttpBroker(gomicro.Registry(shared)), gomicro.NewHttpBroker(gomicro.Registry(shared))
	if err := errors.Join(publisher.Connect(), subscriber.Connect()); err != nil {
		return measure.Side{}, err
	}
	b.Cleanup(func() error { return errors.Join(publisher.Disconnect(), subscriber.Disconnect()) })
	_, err := subscriber.Subscribe("orders", func(e gomicro.Event) error { return handle(counter, e.Message().Body) }, gomicro.Queue("billing"))
	if err != nil {
		return measure.Side{}, err
	}
	return measure.Side{Name: "go-micro HTTP", Note: "Publish returns before anything is sent", Least: 2000, Delivered: counter.Wait, Each: func(context.Context) error {
		body, err := marshal()
		if err != nil {
			return err
		}
		return publisher.Publish("orders", &gomicro.Message{Header: sample.HeaderMap(), Body: body})
	}}, nil
}
