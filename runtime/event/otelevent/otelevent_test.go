package otelevent_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/micro-event/micro-event/runtime/broker"
	memorybroker "github.com/micro-event/micro-event/runtime/broker/memory"
	"github.com/micro-event/micro-event/runtime/event"
	"github.com/micro-event/micro-event/runtime/event/otelevent"
)

var spec = &event.Spec{Topic: "shop.orders", Type: "shop.v1.Order"}

// telemetry keeps in memory what is exported.
type telemetry struct {
	spans      *tracetest.InMemoryExporter
	metrics    *sdkmetric.ManualReader
	instrument *otelevent.Instrumentation
}

func newTelemetry(t testing.TB, b broker.Broker) *telemetry {
	t.Helper()
	m := &telemetry{spans: tracetest.NewInMemoryExporter(), metrics: sdkmetric.NewManualReader()}
	var err error
	m.instrument, err = otelevent.New(b,
		otelevent.WithTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSyncer(m.spans))),
		otelevent.WithMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(m.metrics))),
		otelevent.WithPropagator(propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{})),
	)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// span returns the nth span of a name.
func (m *telemetry) span(t *testing.T, name string, n int) tracetest.SpanStub {
	t.Helper()
	spans := m.spans.GetSpans()
	for i := range spans {
		if spans[i].Name == name {
			if n--; n == 0 {
				return spans[i]
			}
		}
	}
	t.Fatalf("there is no such span %q", name)
	return tracetest.SpanStub{}
}

func checkAttributes(t *testing.T, what string, got []attribute.KeyValue, want map[attribute.Key]string) {
	t.Helper()
	for _, a := range got {
		if value, ok := want[a.Key]; !ok || value != a.Value.String() {
			t.Errorf("%s: attribute %s is %q, want %q (%v)", what, a.Key, a.Value.String(), value, ok)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%s: %d attributes, want %d: %v", what, len(got), len(want), got)
	}
}

// addressed is a broker at an address.
type addressed struct{ broker.Broker }

func (addressed) Address() string { return "nats://broker.example:4222" }
func (addressed) String() string  { return "nats" }

func quietBroker() *broker.Engine {
	return memorybroker.New(broker.WithLogger(slog.New(slog.DiscardHandler)))
}

func TestTraceGoesFromThePublisherThroughHandlers(t *testing.T) {
	b := addressed{quietBroker()}
	m := newTelemetry(t, b)
	client := event.NewClient(b, "shop", event.WrapPublish(m.instrument.Publish))
	server := event.NewServer(b, "billing", event.WrapHandle(m.instrument.Handle))
	attempts, done := 0, make(chan string, 1)
	err := errors.Join(event.Subscribe(server, spec, func(ctx context.Context, e *wrapperspb.StringValue) error {
		switch attempts++; attempts {
		case 1:
			return event.RetryAfter(errors.New("on purpose"), 0)
		case 2:
			done <- baggage.FromContext(ctx).Member("tenant").Value()
			next := &event.Spec{Topic: "shop.bills", Type: "shop.v1.Bill"}
			if err := client.PublishEvent(ctx, next, e); !errors.Is(err, broker.ErrNoSubscribers) {
				t.Errorf("error %v of an event without subscribers", err)
			}
		}
		return nil
	}), b.Connect(t.Context()), server.Start(t.Context()))
	member, memberErr := baggage.NewMember("tenant", "acme")
	bag, bagErr := baggage.New(member)
	ctx := event.WithID(baggage.ContextWithBaggage(t.Context(), bag), "id-1")
	if err := errors.Join(err, memberErr, bagErr, client.PublishEvent(ctx, spec, wrapperspb.String("o-1"))); err != nil {
		t.Fatal(err)
	}
	if tenant := <-done; tenant != "acme" {
		t.Errorf("baggage %q, want acme", tenant)
	}
	if err := errors.Join(server.Stop(t.Context()), b.Disconnect(t.Context())); err != nil {
		t.Fatal(err)
	}

	sent, failed, handled := m.span(t, "send shop.orders", 1), m.span(t, "process shop.orders", 1), m.span(t, "process shop.orders", 2)
	lost := m.span(t, "send shop.bills", 1)
	if sent.SpanKind != trace.SpanKindProducer || handled.SpanKind != trace.SpanKindConsumer {
		t.Errorf("kinds %v and %v", sent.SpanKind, handled.SpanKind)
	}
	for _, s := range []tracetest.SpanStub{failed, handled} {
		if s.Parent.SpanID() != sent.SpanContext.SpanID() || len(s.Links) != 1 || s.Links[0].SpanContext.SpanID() != sent.SpanContext.SpanID() {
			t.Errorf("parent %v, links %v, want span %v", s.Parent.SpanID(), s.Links, sent.SpanContext.SpanID())
		}
	}
	if lost.Parent.SpanID() != handled.SpanContext.SpanID() || lost.SpanContext.TraceID() != sent.SpanContext.TraceID() {
		t.Error("what a handler publishes is not in its trace")
	}
	if failed.Status.Code != codes.Error || failed.Status.Description != "on purpose (retry after 0s)" || handled.Status.Code != codes.Unset {
		t.Errorf("statuses %v and %v", failed.Status, handled.Status)
	}
	checkAttributes(t, "send", sent.Attributes, map[attribute.Key]string{
		"messaging.system": "nats", "messaging.operation.name": "send", "messaging.operation.type": "send",
		"messaging.destination.name": "shop.orders", "server.address": "broker.example", "server.port": "4222",
		"cloudevents.event_type": "shop.v1.Order",
	})
	checkAttributes(t, "failed send", lost.Attributes, map[attribute.Key]string{
		"messaging.system": "nats", "messaging.operation.name": "send", "messaging.operation.type": "send",
		"messaging.destination.name": "shop.bills", "server.address": "broker.example", "server.port": "4222",
		"cloudevents.event_type": "shop.v1.Bill", "error.type": "not_delivered",
	})
	checkAttributes(t, "process", handled.Attributes, map[attribute.Key]string{
		"messaging.system": "nats", "messaging.operation.name": "process", "messaging.operation.type": "process",
		"messaging.destination.name": "shop.orders", "messaging.consumer.group.name": "billing", "messaging.message.id": "id-1",
		"server.address": "broker.example", "server.port": "4222",
		"cloudevents.event_type": "shop.v1.Order", "cloudevents.event_id": "id-1", "cloudevents.event_source": "shop",
	})
}

func TestPanicEndsTheSpanAndIsPassedOn(t *testing.T) {
	m := newTelemetry(t, quietBroker())
	handle := m.instrument.Handle(func(context.Context, proto.Message) error { panic("on purpose") })
	ctx := event.NewContext(t.Context(), &broker.Delivery{Topic: "shop.orders"})
	func() {
		defer func() {
			if v := recover(); v != "on purpose" {
				t.Errorf("recovered %v", v)
			}
		}()
		err := handle(ctx, wrapperspb.String("o-1"))
		t.Errorf("returned %v", err)
	}()
	s := m.span(t, "process shop.orders", 1)
	if s.Status.Code != codes.Error || s.Parent.IsValid() || len(s.Links) != 0 {
		t.Errorf("status %v, parent %v, links %v", s.Status, s.Parent, s.Links)
	}
	checkAttributes(t, "process", s.Attributes, map[attribute.Key]string{
		"messaging.system": "memory", "messaging.operation.name": "process", "messaging.operation.type": "process",
		"messaging.destination.name": "shop.orders", "error.type": "panic",
	})
}

func TestMetrics(t *testing.T) {
	b := quietBroker()
	m := newTelemetry(t, b)
	client := event.NewClient(b, "shop", event.WrapPublish(m.instrument.Publish))
	server := event.NewServer(b, "billing", event.WrapHandle(m.instrument.Handle))
	handled := make(chan struct{}, 3)
	err := errors.Join(event.Subscribe(server, spec, func(ctx context.Context, _ *wrapperspb.StringValue) error {
		handled <- struct{}{}
		if event.FromContext(ctx).ID() == "bad" {
			return event.Permanent(errors.New("on purpose"))
		}
		return nil
	}), server.Start(t.Context()))
	for _, id := range []string{"1", "bad", "2"} {
		err = errors.Join(err, client.PublishEvent(event.WithID(t.Context(), id), spec, wrapperspb.String("x")))
	}
	refused := client.PublishEvent(event.WithHeader(t.Context(), "a b", ""), spec, wrapperspb.String("x"))
	if err != nil || !errors.Is(refused, broker.ErrRejected) {
		t.Fatal(err, refused)
	}
	for range 3 {
		<-handled
	}
	if err := server.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"messaging.client.consumed.messages {message} process 1 billing permanent",
		"messaging.client.consumed.messages {message} process 2 billing ",
		"messaging.client.operation.duration s send 1  rejected",
		"messaging.client.operation.duration s send 3  ",
		"messaging.client.sent.messages {message} send 1  rejected",
		"messaging.client.sent.messages {message} send 3  ",
		"messaging.process.duration s process 1 billing permanent",
		"messaging.process.duration s process 2 billing ",
	}
	if got := m.points(t); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// points describes all points of all metrics.
func (m *telemetry) points(t *testing.T) []string {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := m.metrics.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	var points []string
	note := func(metric metricdata.Metrics, count any, attrs attribute.Set) {
		value := func(name attribute.Key) string {
			v, _ := attrs.Value(name)
			return v.AsString()
		}
		if value("messaging.system") != "memory" || value("messaging.destination.name") != "shop.orders" {
			t.Errorf("%s: attributes %v", metric.Name, attrs.ToSlice())
		}
		points = append(points, fmt.Sprintf("%s %s %s %v %s %s", metric.Name, metric.Unit, value("messaging.operation.name"),
			count, value("messaging.consumer.group.name"), value("error.type")))
	}
	for _, scope := range all.ScopeMetrics {
		for _, metric := range scope.Metrics {
			switch data := metric.Data.(type) {
			case metricdata.Sum[int64]:
				for _, p := range data.DataPoints {
					note(metric, p.Value, p.Attributes)
				}
			case metricdata.Histogram[float64]:
				for _, p := range data.DataPoints {
					note(metric, p.Count, p.Attributes)
				}
			}
		}
	}
	slices.Sort(points)
	return points
}

func TestErrorTypesOfHandlers(t *testing.T) {
	for want, err := range map[string]error{
		"permanent": event.Permanent(errors.New("x")), "requeue": event.ErrRequeue,
		"retry": event.RetryAfter(errors.New("x"), 1),
	} {
		m := newTelemetry(t, quietBroker())
		handle := m.instrument.Handle(func(context.Context, proto.Message) error { return err })
		if got := handle(event.NewContext(t.Context(), &broker.Delivery{Topic: "t"}), nil); !errors.Is(got, err) {
			t.Errorf("error %v, want %v", got, err)
		}
		if s := m.span(t, "process t", 1); !slices.Contains(s.Attributes, attribute.String("error.type", want)) {
			t.Errorf("attributes %v, want error.type %s", s.Attributes, want)
		}
	}
}

func TestDefaultsAreThoseOfTheProgram(t *testing.T) {
	o, err := otelevent.New(quietBroker())
	if err != nil {
		t.Fatal(err)
	}
	called := false
	publish := o.Publish(func(context.Context, *event.Spec, proto.Message) error {
		called = true
		return nil
	})
	if err := publish(t.Context(), spec, wrapperspb.String("x")); err != nil || !called {
		t.Errorf("error %v, called %v", err, called)
	}
}
