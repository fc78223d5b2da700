package event_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/micro-event/micro-event/runtime/broker"
	"github.com/micro-event/micro-event/runtime/event"
)

// An interceptor of one's own: every event of this client names its region.
func ExampleWrapPublish() {
	region := func(next event.PublishFunc) event.PublishFunc {
		return func(ctx context.Context, s *event.Spec, m proto.Message) error {
			return next(event.WithHeader(ctx, "region", "eu"), s, m)
		}
	}
	handleOne(func(ctx context.Context, b *broker.Engine) error {
		client := event.NewClient(b, "shop", event.WrapPublish(region, event.PublishTimeout(5*time.Second)))
		return PublishOrderCreated(ctx, client, wrapperspb.String("o-1"))
	}, func(ctx context.Context, _ *OrderCreated) error {
		fmt.Println(event.FromContext(ctx).Header("region"))
		return nil
	})
	// Output: eu
}

// The usual ones around all handlers of a server. One more around a single
// handler counts what it does.
func ExampleWrapHandle() {
	handled := 0
	count := func(next event.HandleFunc) event.HandleFunc {
		return func(ctx context.Context, m proto.Message) error {
			handled++
			return next(ctx, m)
		}
	}
	b := &loopback{}
	server := event.NewServer(b, "billing", event.WrapHandle(
		event.LogHandle(slog.New(slog.DiscardHandler)),
		event.Dedup(event.NewMemoryDedup(10_000)),
		event.HandleTimeout(30*time.Second),
	))
	ctx := context.Background()
	err := errors.Join(
		SubscribeOrderCreated(server, func(context.Context, *OrderCreated) error { return nil }, event.WrapHandle(count)),
		server.Start(ctx),
		PublishOrderCreated(ctx, event.NewClient(b, "shop"), wrapperspb.String("o-1")),
	)
	fmt.Println(handled, err)
	// Output: 1 <nil>
}

// A publisher that tried twice makes no second bill.
func ExampleDedup() {
	b := &loopback{}
	server := event.NewServer(b, "billing", event.WrapHandle(event.Dedup(event.NewMemoryDedup(10_000))))
	ctx := context.Background()
	err := errors.Join(
		SubscribeOrderCreated(server, func(_ context.Context, e *OrderCreated) error {
			fmt.Println("bill", e.GetValue())
			return nil
		}),
		server.Start(ctx),
	)
	client := event.NewClient(b, "shop")
	once := event.WithID(ctx, "order-1-created")
	for range 2 {
		err = errors.Join(err, PublishOrderCreated(once, client, wrapperspb.String("o-1")))
	}
	fmt.Println(err)
	// Output:
	// bill o-1
	// <nil>
}

func ExampleLogHandle() {
	log := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey || a.Key == "duration" {
				return slog.Attr{}
			}
			return a
		},
	}))
	b := &loopback{}
	server := event.NewServer(b, "billing", event.WrapHandle(event.LogHandle(log)))
	client := event.NewClient(b, "shop", event.WrapPublish(event.LogPublish(log)))
	ctx := event.WithID(context.Background(), "1")
	err := errors.Join(
		SubscribeOrderCreated(server, func(context.Context, *OrderCreated) error { return nil }),
		server.Start(ctx),
		PublishOrderCreated(ctx, client, wrapperspb.String("o-1")),
	)
	fmt.Println(err)
	// Output:
	// level=INFO msg="event handled" type=google.protobuf.StringValue id=1 source=shop topic=shop.orders.created key=o-1 attempt=1
	// level=INFO msg="event published" type=google.protobuf.StringValue topic=shop.orders.created
	// <nil>
}
