package otelevent

import (
	"fmt"
	"net/url"
	"strconv"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/semconv/v1.43.0/messagingconv"
	"go.opentelemetry.io/otel/trace"

	"github.com/micro-event/micro-event/runtime/broker"
)

const scope = "github.com/micro-event/micro-event/runtime/event/otelevent"

// Instrumentation has the interceptors of this package. It may be used by many
// clients and servers of one broker, concurrently.
type Instrumentation struct {
	tracer     trace.Tracer
	propagator propagation.TextMapPropagator
	system     messagingconv.SystemAttr
	common     []attribute.KeyValue // of spans and metrics

	sent           messagingconv.ClientSentMessages
	sendDuration   messagingconv.ClientOperationDuration
	consumed       messagingconv.ClientConsumedMessages
	handleDuration messagingconv.ProcessDuration
}

// Option sets an option of the instrumentation.
type Option interface{ apply(*options) }

type option func(*options)

func (f option) apply(o *options) { f(o) }

type options struct {
	tracers    trace.TracerProvider
	meters     metric.MeterProvider
	propagator propagation.TextMapPropagator
}

// WithTracerProvider sets where spans go. Default: otel.GetTracerProvider().
func WithTracerProvider(p trace.TracerProvider) Option {
	return option(func(o *options) { o.tracers = p })
}

// WithMeterProvider sets where metrics go. Default: otel.GetMeterProvider().
func WithMeterProvider(p metric.MeterProvider) Option {
	return option(func(o *options) { o.meters = p })
}

// WithPropagator sets how contexts travel in headers. Default:
// otel.GetTextMapPropagator(), which does nothing until the program sets it.
func WithPropagator(p propagation.TextMapPropagator) Option {
	return option(func(o *options) { o.propagator = p })
}

// New returns the instrumentation of what goes through b, whose String is the
// messaging.system and whose Address the server.address. It fails when the meter
// refuses an instrument.
func New(b broker.Broker, opts ...Option) (*Instrumentation, error) {
	o := options{otel.GetTracerProvider(), otel.GetMeterProvider(), otel.GetTextMapPropagator()}
	for _, opt := range opts {
		opt.apply(&o)
	}
	i := &Instrumentation{
		tracer:     o.tracers.Tracer(scope, trace.WithSchemaURL(semconv.SchemaURL)),
		propagator: o.propagator,
		system:     messagingconv.SystemAttr(b.String()),
		common:     serverAttributes(b.Address()),
	}
	if err := i.makeInstruments(o.meters.Meter(scope, metric.WithSchemaURL(semconv.SchemaURL))); err != nil {
		return nil, fmt.Errorf("otelevent: %w", err)
	}
	return i, nil
}

// seconds are the boundaries that the conventions advise.
var seconds = metric.WithExplicitBucketBoundaries(0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)

func (i *Instrumentation) makeInstruments(m metric.Meter) (err error) {
	if i.sent, err = messagingconv.NewClientSentMessages(m); err != nil {
		return err
	}
	if i.sendDuration, err = messagingconv.NewClientOperationDuration(m, seconds); err != nil {
		return err
	}
	if i.consumed, err = messagingconv.NewClientConsumedMessages(m); err != nil {
		return err
	}
	i.handleDuration, err = messagingconv.NewProcessDuration(m, seconds)
	return err
}

// serverAttributes names host and port of an address that is a URL with one.
func serverAttributes(address string) []attribute.KeyValue {
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" {
		return nil
	}
	attrs := []attribute.KeyValue{semconv.ServerAddress(u.Hostname())}
	if port, err := strconv.Atoi(u.Port()); err == nil {
		attrs = append(attrs, semconv.ServerPort(port))
	}
	return attrs
}
