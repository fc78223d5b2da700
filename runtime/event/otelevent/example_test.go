package otelevent_test

import (
	"context"
	"errors"
	"fmt"

	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/micro-event/micro-event/runtime/event"
	"github.com/micro-event/micro-event/runtime/event/otelevent"
)

// A program sets the global providers and propagator of OpenTelemetry and gives
// no options.
func Example() {
	ctx, b := context.Background(), quietBroker() // any broker
	spans := tracetest.NewInMemoryExporter()
	o, err := otelevent.New(b,
		otelevent.WithTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))),
		otelevent.WithPropagator(propagation.TraceContext{}),
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	server := event.NewServer(b, "billing", event.WrapHandle(o.Handle))
	handled := make(chan struct{})
	err = errors.Join(event.Subscribe(server, spec, func(context.Context, *wrapperspb.StringValue) error {
		close(handled)
		return nil
	}), server.Start(ctx))
	client := event.NewClient(b, "shop", event.WrapPublish(o.Publish))
	err = errors.Join(err, client.PublishEvent(ctx, spec, wrapperspb.String("o-1")))
	<-handled
	err = errors.Join(err, server.Stop(ctx))
	traces := map[string]bool{}
	for _, s := range spans.GetSpans().Snapshots() {
		traces[s.SpanContext().TraceID().String()] = true
	}
	fmt.Println(len(spans.GetSpans()), "spans in", len(traces), "trace", err)
	// Output: 2 spans in 1 trace <nil>
}
