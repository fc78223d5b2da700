package otelevent

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/proto"

	"github.com/micro-event/micro-event/runtime/broker"
	"github.com/micro-event/micro-event/runtime/event"
)

const (
	send    = "send"
	process = "process"
)

// Publish is an event.PublishInterceptor.
func (i *Instrumentation) Publish(next event.PublishFunc) event.PublishFunc {
	return func(ctx context.Context, s *event.Spec, m proto.Message) error {
		began := time.Now()
		ctx, span := i.tracer.Start(ctx, send+" "+s.Topic,
			trace.WithSpanKind(trace.SpanKindProducer), trace.WithAttributes(i.spanAttributes(
				semconv.MessagingOperationTypeSend, send, s.Topic, semconv.CloudEventsEventType(s.Type))...))
		defer span.End()
		err := next(i.inject(ctx), s, m)
		failed := fail(span, err, publishErrorType)
		i.sent.Add(ctx, 1, send, i.system, i.attributes(s.Topic, failed)...)
		i.sendDuration.Record(ctx, time.Since(began).Seconds(), send, i.system,
			i.attributes(s.Topic, append(failed, semconv.MessagingOperationTypeSend))...)
		return err
	}
}

// inject puts the context of the span into outgoing headers.
func (i *Instrumentation) inject(ctx context.Context) context.Context {
	c := &outgoing{ctx}
	i.propagator.Inject(ctx, c)
	return c.Context
}

// outgoing is a carrier that ends in the context.
type outgoing struct {
	context.Context
}

func (c *outgoing) Get(string) string      { return "" }
func (c *outgoing) Keys() []string         { return nil }
func (c *outgoing) Set(name, value string) { c.Context = event.WithHeader(c.Context, name, value) }

// spanAttributes returns the attributes of a span.
func (i *Instrumentation) spanAttributes(
	operation attribute.KeyValue, name, topic string, more ...attribute.KeyValue,
) []attribute.KeyValue {
	return i.attributes(topic, append(more, operation,
		semconv.MessagingOperationName(name), semconv.MessagingSystemKey.String(string(i.system))))
}

// attributes returns a new list of what spans and metrics have in common, and
// more.
func (i *Instrumentation) attributes(topic string, more []attribute.KeyValue) []attribute.KeyValue {
	attrs := make([]attribute.KeyValue, 0, len(i.common)+1+len(more))
	attrs = append(append(attrs, i.common...), semconv.MessagingDestinationName(topic))
	return append(attrs, more...)
}

// fail notes err on span, if it is one, and returns its error.type.
func fail(span trace.Span, err error, typeOf func(error) string) []attribute.KeyValue {
	if err == nil {
		return nil
	}
	errorType := semconv.ErrorTypeKey.String(typeOf(err))
	span.SetAttributes(errorType)
	span.SetStatus(codes.Error, err.Error())
	return []attribute.KeyValue{errorType}
}

func publishErrorType(err error) string {
	switch {
	case errors.Is(err, broker.ErrNotDelivered):
		return "not_delivered"
	case errors.Is(err, broker.ErrRejected):
		return "rejected"
	default:
		return "uncertain"
	}
}
