package eventtest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/micro-event/micro-event/runtime/broker"
	memorybroker "github.com/micro-event/micro-event/runtime/broker/memory"
	"github.com/micro-event/micro-event/runtime/event"
	"github.com/micro-event/micro-event/runtime/event/eventtest"
)

// Greeter is the code under test. Generated code has the publish function that
// stands here as PublishText.
type Greeter struct{ events event.Publisher }

func (g Greeter) Greet(ctx context.Context, name string) error {
	return PublishText(event.WithHeader(ctx, "lang", "en"), g.events, wrapperspb.String("hello "+name))
}

func PublishText(ctx context.Context, p event.Publisher, e *wrapperspb.StringValue) error {
	return p.PublishEvent(ctx, textSpec, e)
}

// A test of code that publishes: give it a recorder, run it, and look.
func Example() {
	rec := eventtest.NewRecorder()
	if err := (Greeter{rec}).Greet(context.Background(), "gopher"); err != nil {
		fmt.Println(err)
	}
	for _, e := range eventtest.Published[*wrapperspb.StringValue](rec) {
		fmt.Println(e.GetValue())
	}
	// Output: hello gopher
}

// Records also tell topic, key and headers.
func ExampleRecorder_Records() {
	rec := eventtest.NewRecorder(event.WithIDSource(func() string { return "id-1" }))
	if err := (Greeter{rec}).Greet(context.Background(), "gopher"); err != nil {
		fmt.Println(err)
	}
	for _, r := range rec.Records() {
		fmt.Println(r.Topic, r.Message.Key, r.Message.Header["lang"], r.Message.Header["ce-id"])
	}
	// Output: texts hello gopher en id-1
}

// Typed records tell topic, key and headers beside the event.
func ExampleRecordsOf() {
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	rec := eventtest.NewRecorder(
		event.WithIDSource(eventtest.IDs("greeting-")),
		event.WithClock(eventtest.Clock(start, time.Second)),
	)
	err := errors.Join(
		(Greeter{rec}).Greet(context.Background(), "gopher"),
		(Greeter{rec}).Greet(context.Background(), "ferris"),
	)
	for _, r := range eventtest.RecordsOf[*wrapperspb.StringValue](rec) {
		fmt.Println(r.Message.Header["ce-id"], r.Message.Header["ce-time"], r.Topic, r.Event.GetValue())
	}
	fmt.Println(err)
	// Output:
	// greeting-1 2026-01-02T03:04:05Z texts hello gopher
	// greeting-2 2026-01-02T03:04:06Z texts hello ferris
	// <nil>
}

// Code under test may publish from a goroutine of its own.
func ExampleWait() {
	ctx, rec := context.Background(), eventtest.NewRecorder()
	go (Greeter{rec}).Greet(ctx, "gopher") //nolint:errcheck // an example
	greetings, err := eventtest.Wait[*wrapperspb.StringValue](ctx, rec, 1)
	fmt.Println(greetings[0].GetValue(), err)
	// Output: hello gopher <nil>
}

// A test of a publisher and a handler that is told what goes wrong on the way:
// the acknowledgement of the first message is lost, so the publisher tries again.
func ExampleNewBroker() {
	test := func(t testing.TB) {
		b := eventtest.NewBroker(t, eventtest.LoseAck(1, errors.New("connection reset")))
		mails := make(chan string, 3)
		server := event.NewServer(b, "mail", event.WrapHandle(event.Dedup(event.NewMemoryDedup(100))))
		err := errors.Join(event.Subscribe(server, textSpec, func(_ context.Context, e *wrapperspb.StringValue) error {
			mails <- e.GetValue()
			return nil
		}), server.Start(t.Context()))
		if err != nil {
			t.Fatal(err)
		}
		greeter := Greeter{event.NewClient(b, "greeter")}
		ctx := event.WithID(t.Context(), "greeting-of-gopher")
		err = greeter.Greet(ctx, "gopher")
		fmt.Println("uncertain:", errors.Is(err, broker.ErrUncertain))
		fmt.Println("again:", greeter.Greet(ctx, "gopher"))
		fmt.Println("another:", greeter.Greet(t.Context(), "ferris"))
		fmt.Println(<-mails)
		fmt.Println(<-mails)
		if err := server.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	}
	run(test) // what go test does
	// Output:
	// uncertain: true
	// again: <nil>
	// another: <nil>
	// hello gopher
	// hello ferris
}

// Any driver can be given faults.
func ExampleInjectFaults() {
	driver := eventtest.InjectFaults(memorybroker.NewDriver(),
		eventtest.Fail(1, errors.New("disk full")),
		eventtest.Delay(2, time.Millisecond),
		eventtest.Duplicate(3),
		eventtest.Reorder(4),
	)
	ctx, b := context.Background(), broker.New(driver)
	err := errors.Join(b.Connect(ctx), b.DeclareQueue(ctx, "texts", "mail"))
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		if err := (Greeter{event.NewClient(b, "greeter")}).Greet(ctx, name); err != nil {
			fmt.Println(err)
		}
	}
	handled := make(chan string)
	server := event.NewServer(b, "mail")
	err = errors.Join(err, event.Subscribe(server, textSpec, func(_ context.Context, e *wrapperspb.StringValue) error {
		handled <- e.GetValue()
		return nil
	}), server.Start(ctx))
	for range 5 {
		fmt.Println(<-handled)
	}
	fmt.Println(errors.Join(err, server.Stop(ctx)))
	// Output:
	// event: publish google.protobuf.StringValue: broker: publish to "texts": not delivered: disk full
	// hello b
	// hello c
	// hello c
	// hello e
	// hello d
	// <nil>
}

// Fail shows how the code under test takes it that an event was not delivered.
func ExampleRecorder_Fail() {
	rec := eventtest.NewRecorder()
	rec.Fail(broker.ErrBackpressure)
	err := (Greeter{rec}).Greet(context.Background(), "gopher")
	fmt.Println(errors.Is(err, broker.ErrNotDelivered), errors.Is(err, broker.ErrBackpressure))
	fmt.Println(len(rec.Records()))

	rec.Reset()
	fmt.Println((Greeter{rec}).Greet(context.Background(), "gopher"))
	// Output:
	// true true
	// 0
	// <nil>
}

// A handler that asks for attributes gets them from a context of the test.
func Example_handler() {
	handle := func(ctx context.Context, e *wrapperspb.StringValue) error {
		fmt.Println(e.GetValue(), "for", event.FromContext(ctx).Header("tenant"))
		return nil
	}
	ctx := event.NewContext(context.Background(), &broker.Delivery{
		Message: broker.Message{Header: broker.Header{"tenant": "acme"}},
	})
	if err := handle(ctx, wrapperspb.String("hello")); err != nil {
		fmt.Println(err)
	}
	// Output: hello for acme
}

// exampleT is the part of a testing.T that the examples need.
type exampleT struct {
	testing.TB
	cleanup func()
}

func (*exampleT) Helper()                  {}
func (*exampleT) Context() context.Context { return context.Background() }
func (*exampleT) Output() io.Writer        { return io.Discard }
func (t *exampleT) Cleanup(f func())       { t.cleanup = f }
func (*exampleT) Error(args ...any)        { panic(fmt.Sprint(args...)) }

func run(test func(testing.TB)) {
	t := &exampleT{}
	test(t)
	t.cleanup()
}
