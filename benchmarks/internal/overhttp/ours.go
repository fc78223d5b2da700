package overhttp

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"sync/atomic"

	"google.golang.org/protobuf/proto"

	ordersv1 "github.com/micro-event/micro-event/examples/gen/shop/orders/v1"
	"github.com/micro-event/micro-event/runtime/broker"
	httpbroker "github.com/micro-event/micro-event/runtime/broker/http"
	"github.com/micro-event/micro-event/runtime/event"

	"github.com/micro-event/micro-event/benchmarks/internal/measure"
	"github.com/micro-event/micro-event/benchmarks/internal/sample"
)

// Pair returns a publisher and a subscriber that find each other, as two processes do,
// until the bench is closed.
func Pair(ctx context.Context, b *measure.Bench) (publisher, subscriber *broker.Engine, err error) {
	registry, quiet := httpbroker.WithRegistry(httpbroker.NewMemoryRegistry()), broker.WithLogger(slog.New(slog.DiscardHandler))
	publisher, subscriber = httpbroker.New(registry, quiet), httpbroker.New(registry, quiet)
	for _, e := range []*broker.Engine{subscriber, publisher} {
		if err := e.Connect(ctx); err != nil {
			return nil, nil, err
		}
		b.Cleanup(func() error { return e.Disconnect(context.Background()) })
	}
	return publisher, subscriber, nil
}

// typed goes through the generated functions.
func typed(ctx context.Context, b *measure.Bench) (measure.Side, error) {
	publisher, subscriber, err := Pair(ctx, b)
	if err != nil {
		return measure.Side{}, err
	}
	counter, client := measure.NewCounter(), event.NewClient(publisher, "shop")
	if err := subscribe(ctx, b, subscriber, counter); err != nil {
		return measure.Side{}, err
	}
	return measure.Side{Name: "micro-event", Delivered: counter.Wait, Each: func(ctx context.Context) error {
		return ordersv1.PublishOrderCreated(ctx, client, order())
	}}, nil
}

// subscribe counts events until the bench is closed.
func subscribe(ctx context.Context, b *measure.Bench, e *broker.Engine, counter *measure.Counter) error {
	server := event.NewServer(e, "billing")
	err := ordersv1.SubscribeOrderCreated(server, func(context.Context, *ordersv1.OrderCreated) error {
		counter.Add()
		return nil
	})
	if err := errors.Join(err, server.Start(ctx)); err != nil {
		return err
	}
	b.Cleanup(func() error { return server.Stop(context.Background()) })
	return nil
}

// records goes through the broker with the headers of an event.
func records(ctx context.Context, b *measure.Bench) (measure.Side, error) {
	counter := measure.NewCounter()
	return published(ctx, b, "micro-event, Broker only", counter, func() (*broker.Record, error) {
		e := order()
		body, err := proto.Marshal(e)
		return &broker.Record{Key: e.GetOrderId(), Body: body}, err
	}, func(body []byte) error { return handle(counter, body) })
}

// published publishes what next returns, with the headers of an event and a new id, to a
// subscriber that handles the body.
func published(
	ctx context.Context, b *measure.Bench, name string, counter *measure.Counter,
	next func() (*broker.Record, error), handle func(body []byte) error,
) (measure.Side, error) {
	publisher, subscriber, err := Pair(ctx, b)
	if err != nil {
		return measure.Side{}, err
	}
	_, err = subscriber.SubscribeRecords(ctx, "orders", func(_ context.Context, d *broker.RecordDelivery) error {
		return handle(d.Record.Body)
	}, broker.Queue("billing"))
	if err != nil {
		return measure.Side{}, err
	}
	var last atomic.Int64
	template := sample.Record().Header
	return measure.Side{Name: name, Delivered: counter.Wait, Each: func(ctx context.Context) error {
		r, err := next()
		if err != nil {
			return err
		}
		r.Header = append(make([]broker.Field, 0, len(template)), template...)
		r.Header[0].Value = "0198c5f0-7d0c-7000-8000-" + strconv.FormatInt(1<<40+last.Add(1), 16)
		return publisher.PublishRecord(ctx, "orders", r)
	}}, nil
}
