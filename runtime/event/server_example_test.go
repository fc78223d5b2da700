package event_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"syscall"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/micro-event/micro-event/runtime/broker"
	memorybroker "github.com/micro-event/micro-event/runtime/broker/memory"
	"github.com/micro-event/micro-event/runtime/event"
)

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
