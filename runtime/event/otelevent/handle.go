package otelevent

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/proto"

	"github.com/micro-event/micro-event/runtime/broker"
	"github.com/micro-event/micro-event/runtime/event"
)

// Handle is an event.HandleInterceptor.
func (i *Instrumentation) Handle(next event.HandleFunc) event.HandleFunc {
	return func(ctx context.Context, m proto.Message) (err error) {
		began, e := time.Now(), event.FromContext(ctx)
		ctx, span := i.startProcess(ctx, e)
		defer span.End()
		err = errPanicked // unless next returns; the broker recovers
		defer func() { i.handled(ctx, span, e, time.Since(began), err) }()
		err = next(ctx, m)
		return err
	}
}

var errPanicked = errors.New("handler panicked")

// startProcess starts the span of an attempt, as a child of the span that
// published the event and linked to it.
func (i *Instrumentation) startProcess(ctx context.Context, e *event.Event) (context.Context, trace.Span) {
	ctx = i.propagator.Extract(ctx, incoming{e})
	attrs := i.spanAttributes(semconv.MessagingOperationTypeProcess, process, e.Topic(), eventAttributes(e)...)
	opts := []trace.SpanStartOption{
		trace.WithSpanKind(trace.SpanKindConsumer), trace.WithAttributes(append(attrs, groupAttributes(e)...)...),
	}
	if link := trace.LinkFromContext(ctx); link.SpanContext.IsValid() {
		opts = append(opts, trace.WithLinks(link))
	}
	return i.tracer.Start(ctx, process+" "+e.Topic(), opts...)
}

func (i *Instrumentation) handled(ctx context.Context, span trace.Span, e *event.Event, took time.Duration, err error) {
	attrs := i.attributes(e.Topic(), append(fail(span, err, handleErrorType), groupAttributes(e)...))
	i.consumed.Add(ctx, 1, process, i.system, attrs...)
	i.handleDuration.Record(ctx, took.Seconds(), process, i.system, attrs...)
}

func handleErrorType(err error) string {
	switch {
	case errors.Is(err, errPanicked):
		return "panic"
	case broker.IsPermanent(err):
		return "permanent"
	case errors.Is(err, event.ErrRequeue):
		return "requeue"
	default:
		return "retry"
	}
}

// eventAttributes are those that not every event has.
func eventAttributes(e *event.Event) []attribute.KeyValue {
	var attrs []attribute.KeyValue
	if id := e.ID(); id != "" {
		attrs = append(attrs, semconv.MessagingMessageID(id), semconv.CloudEventsEventID(id))
	}
	if source := e.Source(); source != "" {
		attrs = append(attrs, semconv.CloudEventsEventSource(source))
	}
	if typ := e.Type(); typ != "" {
		attrs = append(attrs, semconv.CloudEventsEventType(typ))
	}
	return attrs
}

func groupAttributes(e *event.Event) []attribute.KeyValue {
	if e.Queue() == "" {
		return nil
	}
	return []attribute.KeyValue{semconv.MessagingConsumerGroupName(e.Queue())}
}

// incoming is a carrier that reads the headers of an event.
type incoming struct{ event *event.Event }

func (c incoming) Get(name string) string { return c.event.Header(name) }
func (incoming) Set(string, string)       {}

func (c incoming) Keys() []string {
	var names []string
	for name := range c.event.Headers() {
		names = append(names, name)
	}
	return names
}
