package event_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"syscall"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/micro-event/micro-event/runtime/broker"
	memorybroker "github.com/micro-event/micro-event/runtime/broker/memory"
	"github.com/micro-event/micro-event/runtime/event"
)

// OrderCreated stands for a message of a schema, and what follows for the code
// that is generated from it.
type OrderCreated = wrapperspb.StringValue

var orderCreated = &event.Spec{
	Topic: "shop.orders.created",
	Type:  "google.protobuf.StringValue",
	Key:   func(m proto.Message) string { return m.(*OrderCreated).GetValue() },
}

func PublishOrderCreated(ctx context.Context, p event.Publisher, e *OrderCreated) error {
	return p.PublishEvent(ctx, orderCreated, e)
}

func NewOrderCreatedPublisher(p event.Publisher) event.PublisherOf[*OrderCreated] {
	return event.NewPublisherOf[*OrderCreated](p, orderCreated)
}

func SubscribeOrderCreated(s *event.Server, h event.Handler[*OrderCreated], opts ...event.SubscribeOption) error {
	return event.Subscribe(s, orderCreated, h, opts...)
}

// handleOne starts a server with h, publishes what publish does, waits until one
// event was handled and stops the server.
func handleOne(publish func(context.Context, *broker.Engine) error, h event.Handler[*OrderCreated], opts ...event.SubscribeOption) {
	ctx, b := context.Background(), quietBroker()
	handled := make(chan struct{}, 1)
	s := event.NewServer(b, "billing")
	err := SubscribeOrderCreated(s, func(ctx context.Context, e *OrderCreated) error {
		err := h(ctx, e)
		if err == nil {
			handled <- struct{}{}
		}
		return err
	}, opts...)
	if err := errors.Join(err, s.Start(ctx)); err != nil {
		panic(err)
	}
	if err := publish(ctx, b); err != nil {
		panic(err)
	}
	<-handled
	if err := s.Stop(ctx); err != nil {
		panic(err)
	}
}

// A service that publishes and one that handles, in one process.
func Example() {
	ctx := context.Background()
	b := quietBroker() // any broker

	server := event.NewServer(b, "billing")
	handled := make(chan struct{})
	err := SubscribeOrderCreated(server, func(ctx context.Context, e *OrderCreated) error {
		fmt.Println("bill", e.GetValue(), "from", event.FromContext(ctx).Source())
		close(handled)
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	if err := server.Start(ctx); err != nil {
		log.Fatal(err)
	}

	client := event.NewClient(b, "shop/orders")
	if err := PublishOrderCreated(ctx, client, wrapperspb.String("o-1")); err != nil {
		log.Fatal(err)
	}
	<-handled
	if err := server.Stop(ctx); err != nil {
		log.Fatal(err)
	}
	// Output: bill o-1 from shop/orders
}

// The main function of a service: it ends with its signal, after a drain.
func ExampleServer_Run() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	server := event.NewServer(quietBroker(), "billing", event.DrainTimeout(20*time.Second))
	err := SubscribeOrderCreated(server, func(context.Context, *OrderCreated) error { return nil })
	if err != nil {
		fmt.Println(err)
	}
	time.AfterFunc(time.Millisecond, stop) // what the signal does
	fmt.Println(server.Run(ctx))
	// Output: <nil>
}

// The readiness probe of a service. It fails as soon as the server stops, so that
// no new work is sent to a process that drains.
func ExampleServer_Health() {
	server := event.NewServer(quietBroker(), "billing")
	ready := func(w http.ResponseWriter, r *http.Request) {
		if err := server.Health(r.Context()); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		}
	}
	probe := func() int {
		w := httptest.NewRecorder()
		ready(w, httptest.NewRequestWithContext(context.Background(), http.MethodGet, "/readyz", http.NoBody))
		return w.Code
	}
	ctx := context.Background()
	fmt.Println(probe())
	fmt.Println(server.Start(ctx), probe())
	fmt.Println(server.Stop(ctx), probe())
	// Output:
	// 503
	// <nil> 200
	// <nil> 503
}

// What failed for good is handled again once its cause is mended.
func ExampleServer_Redrive() {
	dead := make(chan error, 1)
	b := memorybroker.New(broker.WithHooks(broker.Hooks{DeadLettered: func(p broker.PoisonInfo) { dead <- p.Err }}))
	server := event.NewServer(b, "billing")
	mended := false
	err := SubscribeOrderCreated(server, func(_ context.Context, e *OrderCreated) error {
		if !mended {
			return event.Permanent(errors.New("bug"))
		}
		fmt.Println("bill", e.GetValue())
		return nil
	})
	ctx := context.Background()
	err = errors.Join(err, server.Start(ctx), PublishOrderCreated(ctx, event.NewClient(b, "shop"), wrapperspb.String("o-1")))
	fmt.Println(<-dead)
	mended = true
	sent, redriveErr := server.Redrive(ctx)
	fmt.Println(sent, errors.Join(err, redriveErr, server.Stop(ctx)))
	// Output:
	// permanent: bug
	// bill o-1
	// 1 <nil>
}

// Code that only publishes one type of event takes a publisher of it.
func ExampleNewPublisherOf() {
	handleOne(func(ctx context.Context, b *broker.Engine) error {
		orders := NewOrderCreatedPublisher(event.NewClient(b, "shop"))
		return orders.Publish(ctx, wrapperspb.String("o-1"))
	}, func(_ context.Context, e *OrderCreated) error {
		fmt.Println(e.GetValue())
		return nil
	})
	// Output: o-1
}

func ExampleWithHeader() {
	handleOne(func(ctx context.Context, b *broker.Engine) error {
		ctx = event.WithHeader(ctx, "Tenant", "acme")
		return PublishOrderCreated(ctx, event.NewClient(b, "shop"), wrapperspb.String("o-1"))
	}, func(ctx context.Context, _ *OrderCreated) error {
		fmt.Println(event.FromContext(ctx).Header("tenant"))
		return nil
	})
	// Output: acme
}

// A header that is not valid is an error when the event is published.
func ExampleWithHeader_invalid() {
	ctx := event.WithHeader(context.Background(), "ce-id", "1")
	err := PublishOrderCreated(ctx, event.NewClient(quietBroker(), "shop"), wrapperspb.String("o-1"))
	fmt.Println(errors.Is(err, event.ErrInvalidHeader))
	fmt.Println(err)
	// Output:
	// true
	// event: publish google.protobuf.StringValue: rejected: invalid header "ce-id": the name is reserved
}

// Receivers that know CloudEvents find the subject where they look for it.
func ExampleWithAttribute() {
	handleOne(func(ctx context.Context, b *broker.Engine) error {
		ctx = event.WithAttribute(ctx, "subject", "orders/o-1")
		return PublishOrderCreated(ctx, event.NewClient(b, "shop"), wrapperspb.String("o-1"))
	}, func(ctx context.Context, _ *OrderCreated) error {
		fmt.Println(event.FromContext(ctx).Header("ce-subject"))
		return nil
	})
	// Output: orders/o-1
}

// Publishing again with the id of the first attempt makes a duplicate that
// receivers can recognize, and not a second event.
func ExampleWithID() {
	handleOne(func(ctx context.Context, b *broker.Engine) error {
		ctx = event.WithID(ctx, "order-1-created")
		client := event.NewClient(b, "shop")
		err := PublishOrderCreated(ctx, client, wrapperspb.String("o-1"))
		if errors.Is(err, broker.ErrUncertain) {
			err = PublishOrderCreated(ctx, client, wrapperspb.String("o-1"))
		}
		return err
	}, func(ctx context.Context, _ *OrderCreated) error {
		fmt.Println(event.FromContext(ctx).ID())
		return nil
	})
	// Output: order-1-created
}

// The tenant of an event goes on to the events that its handler publishes; other
// headers do not.
func ExamplePropagate() {
	next := &loopback{}
	client := event.NewClient(next, "billing", event.Propagate("tenant"))
	handleOne(func(ctx context.Context, b *broker.Engine) error {
		ctx = event.WithHeader(event.WithHeader(ctx, "tenant", "acme"), "debug", "yes")
		return PublishOrderCreated(ctx, event.NewClient(b, "shop"), wrapperspb.String("o-1"))
	}, func(ctx context.Context, e *OrderCreated) error {
		return PublishOrderCreated(ctx, client, e)
	})
	fmt.Printf("%q %q\n", next.published[0].Header["tenant"], next.published[0].Header["debug"])
	// Output: "acme" ""
}

// The events of one schema go to a topic that is chosen when the program runs.
func ExampleWithTopic() {
	region := "eu"
	handleOne(func(ctx context.Context, b *broker.Engine) error {
		ctx = event.WithTopic(ctx, "shop.orders."+region)
		return PublishOrderCreated(ctx, event.NewClient(b, "shop"), wrapperspb.String("o-1"))
	}, func(ctx context.Context, e *OrderCreated) error {
		fmt.Println(e.GetValue(), "from", event.FromContext(ctx).Topic())
		return nil
	}, event.Topic("shop.orders."+region))
	// Output: o-1 from shop.orders.eu
}

// Environments share a broker and see nothing of each other.
func ExampleTopicPrefix() {
	prefix := event.TopicPrefix("staging.")
	b := &loopback{}
	client := event.NewClient(b, "shop", prefix)
	server := event.NewServer(b, "billing", prefix)
	err := errors.Join(
		SubscribeOrderCreated(server, func(ctx context.Context, _ *OrderCreated) error {
			fmt.Println(event.FromContext(ctx).Topic())
			return nil
		}),
		server.Start(context.Background()),
		PublishOrderCreated(context.Background(), client, wrapperspb.String("o-1")),
	)
	fmt.Println(err)
	// Output:
	// staging.shop.orders.created
	// <nil>
}

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

// An import publishes many events and then waits for all of them.
func ExampleAsyncClient() {
	ctx, b := context.Background(), &loopback{}
	client := event.NewAsyncClient(event.NewClient(b, "shop"))
	order := wrapperspb.String("")
	for i := range 1000 {
		order.Value = fmt.Sprint("o-", i) // it was encoded already
		if err := PublishOrderCreated(ctx, client, order); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println(client.Flush(ctx), len(b.published))
	fmt.Println(client.Close(ctx))
	// Output:
	// <nil> 1000
	// <nil>
}

// The callback sees what becomes of each event, to log it or to count it.
func ExampleOnResult() {
	ctx, b := context.Background(), quietBroker() // not connected
	client := event.NewAsyncClient(event.NewClient(b, "shop"), event.OnResult(func(r event.AsyncResult) {
		fmt.Println(r.Key, errors.Is(r.Err, broker.ErrNotDelivered))
	}))
	err := PublishOrderCreated(ctx, client, wrapperspb.String("o-1"))
	fmt.Println(err, errors.Is(client.Close(ctx), broker.ErrNotConnected))
	// Output:
	// o-1 true
	// <nil> true
}

// Subscribers that still run on go-micro understand these events as well.
func ExampleGoMicroHeaders() {
	b := &loopback{}
	client := event.NewClient(b, "shop", event.GoMicroHeaders())
	ctx := event.WithID(context.Background(), "1")
	if err := PublishOrderCreated(ctx, client, wrapperspb.String("o-1")); err != nil {
		log.Fatal(err)
	}
	h := b.published[0].Header
	fmt.Println(h["Content-Type"], h["Micro-Topic"], h["Micro-Id"])
	fmt.Println(h["ce-type"])
	// Output:
	// application/protobuf shop.orders.created 1
	// google.protobuf.StringValue
}

func ExampleWithCodec() {
	b := &loopback{}
	client := event.NewClient(b, "shop", event.WithCodec(event.JSON))
	if err := PublishOrderCreated(context.Background(), client, wrapperspb.String("o-1")); err != nil {
		log.Fatal(err)
	}
	fmt.Println(b.published[0].Header["content-type"], string(b.published[0].Body))
	// Output: application/json "o-1"
}

// A handler says by its error what is to happen: try again later, or never.
func ExamplePermanent() {
	errNoStock := errors.New("no stock")
	handleOne(func(ctx context.Context, b *broker.Engine) error {
		client := event.NewClient(b, "shop")
		return errors.Join(
			PublishOrderCreated(ctx, client, wrapperspb.String("nonsense")),
			PublishOrderCreated(ctx, client, wrapperspb.String("o-1")),
		)
	}, func(ctx context.Context, e *OrderCreated) error {
		attempt := event.FromContext(ctx).Attempt()
		fmt.Println(e.GetValue(), "attempt", attempt)
		switch {
		case e.GetValue() == "nonsense":
			return event.Permanent(errors.New("no such order"))
		case attempt < 3:
			return event.RetryAfter(errNoStock, time.Millisecond)
		}
		return nil
	})
	// Output:
	// nonsense attempt 1
	// o-1 attempt 1
	// o-1 attempt 2
	// o-1 attempt 3
}

// After three failed attempts an event goes to a dead-letter topic of its own.
func ExampleMaxAttempts() {
	server := event.NewServer(quietBroker(), "billing")
	err := SubscribeOrderCreated(server, func(context.Context, *OrderCreated) error { return nil },
		event.Concurrency(8),
		event.MaxAttempts(3),
		event.Backoff(time.Second, time.Minute),
		event.DeadLetter("billing.orders.failed"),
	)
	fmt.Println(err)
	// Output: <nil>
}

// Every replica empties its cache; all of them together send one mail.
func ExampleBroadcast() {
	server := event.NewServer(quietBroker(), "shop")
	emptyCache := func(context.Context, *OrderCreated) error { return nil }
	sendMail := func(context.Context, *OrderCreated) error { return nil }
	fmt.Println(SubscribeOrderCreated(server, emptyCache, event.Broadcast()))
	fmt.Println(SubscribeOrderCreated(server, sendMail, event.Queue("shop.mail")))
	// Output:
	// <nil>
	// <nil>
}

// A program that knows nothing of events publishes to the topic of one.
func ExampleAcceptRaw() {
	handleOne(func(ctx context.Context, b *broker.Engine) error {
		return b.Publish(ctx, "shop.orders.created", &broker.Message{Body: []byte(`"o-1"`)})
	}, func(_ context.Context, e *OrderCreated) error {
		fmt.Println(e.GetValue())
		return nil
	}, event.AcceptRaw("application/json"))
	// Output: o-1
}

// A handler of the broker itself sees all messages of a topic, typed or not.
func ExampleDecode() {
	raw := func(_ context.Context, d *broker.Delivery) error {
		var e OrderCreated
		switch err := event.Decode(d, &e); {
		case errors.Is(err, event.ErrNotEvent):
			fmt.Printf("message %q\n", d.Message.Body)
		case err != nil:
			return err
		default:
			fmt.Println("event", e.GetValue())
		}
		return nil
	}
	ctx, b := context.Background(), &loopback{}
	if _, err := b.Subscribe(ctx, "shop.orders.created", raw); err != nil {
		log.Fatal(err)
	}
	err := errors.Join(
		b.Publish(ctx, "shop.orders.created", &broker.Message{Body: []byte("hello")}),
		PublishOrderCreated(ctx, event.NewClient(b, "shop"), wrapperspb.String("o-1")),
	)
	if err != nil {
		log.Fatal(err)
	}
	// Output:
	// message "hello"
	// event o-1
}
