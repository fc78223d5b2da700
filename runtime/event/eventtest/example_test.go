package eventtest_test

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/micro-event/micro-event/runtime/broker"
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
