package event

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/micro-event/micro-event/runtime/broker"
)

// Client publishes events through a broker. It implements [Publisher] and may
// be used concurrently. It holds nothing that must be closed; the broker is the
// caller's to connect and disconnect.
type Client struct{ sender }

var _ Publisher = (*Client)(nil)

// NewClient returns a client that publishes through b. Source says who
// publishes, as a URI reference that is not empty: "shop/orders", or
// "https://shop.example/orders". Receivers see it as [Event.Source].
//
// A source or an option that is not valid makes every call of
// [Client.PublishEvent] fail.
func NewClient(b broker.Broker, source string, opts ...ClientOption) *Client {
	c := &Client{}
	c.broker, c.source, c.options = b, source, newClientOptions(opts)
	if b == nil {
		c.err = errors.New("broker of the client is nil")
	}
	c.err = errors.Join(c.err, checkSource(source), c.options.check())
	c.start(c.deliverNow)
	return c
}

// PublishEvent publishes m as s says. Generated publish functions call it. Nil
// means that the broker accepted the event, see broker.Broker; the errors are
// the variables of this package. Ctx bounds the call and adds headers, see
// [WithHeader].
func (c *Client) PublishEvent(ctx context.Context, s *Spec, m proto.Message) error {
	return c.publishEvent(ctx, s, m)
}

// deliverNow hands p to the broker. Records spare a copy; only an engine itself
// is asked for them, not what wraps one and may see to Publish in its own way.
func (c *Client) deliverNow(ctx context.Context, p *publication) error {
	defer c.release(p)
	if engine, ok := c.broker.(*broker.Engine); ok {
		return engine.PublishRecord(ctx, p.topic, &p.record)
	}
	m := p.record.Message()
	return c.broker.Publish(ctx, p.topic, &m)
}

// checkSource reports why source is not a URI reference (RFC 3986). Package url
// lets through some bytes that must be percent-encoded.
func checkSource(source string) error {
	if source == "" {
		return fmt.Errorf("%w: it is empty", ErrInvalidSource)
	}
	if _, err := url.Parse(source); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalidSource, err)
	}
	notURI := func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune("\"<>\\^`{|}", r) }
	if i := strings.IndexFunc(source, notURI); i >= 0 {
		return fmt.Errorf("%w: %q has %q, which must be percent-encoded", ErrInvalidSource, source, source[i:i+1])
	}
	return nil
}

// ClientOption sets an option of a client.
type ClientOption interface{ applyClient(*clientOptions) }

type clientOption func(*clientOptions)

func (f clientOption) applyClient(o *clientOptions) { f(o) }

// WithCodec sets how bodies are written. Default: [Protobuf].
func WithCodec(c Codec) ClientOption {
	return clientOption(func(o *clientOptions) { o.codec = c })
}

// Propagate makes events that are published by a handler carry on the named
// headers of the event that is handled, unless the context sets them itself.
// The names follow the rules of [WithHeader]. Given several times, all count.
// Default: none.
func Propagate(names ...string) ClientOption {
	return clientOption(func(o *clientOptions) {
		for _, name := range names {
			o.propagate = append(o.propagate, strings.ToLower(name))
		}
	})
}

// WithClock sets where the time of events comes from. It is called
// concurrently. Default: time.Now.
func WithClock(now func() time.Time) ClientOption {
	return clientOption(func(o *clientOptions) { o.now = now })
}

// WithIDSource sets where ids of events come from. It is called concurrently
// and must never return an id twice. Default, also where it returns an empty
// one: a UUID of version 7.
func WithIDSource(next func() string) ClientOption {
	return clientOption(func(o *clientOptions) { o.newID = next })
}

type clientOptions struct {
	codec     Codec
	propagate []string
	now       func() time.Time
	newID     func() string // nil: UUIDs
	wrap      []PublishInterceptor
	mapTopic  topicMapping
	goMicro   bool
}

func newClientOptions(opts []ClientOption) clientOptions {
	o := clientOptions{codec: Protobuf, now: time.Now}
	for _, opt := range opts {
		opt.applyClient(&o)
	}
	return o
}

func (o *clientOptions) check() error {
	var errs []error
	if !o.codec.known() {
		errs = append(errs, unknownCodec(string(o.codec)))
	}
	if o.now == nil {
		errs = append(errs, errors.New("clock of the client is nil"))
	}
	errs = append(errs, checkInterceptors(o.wrap))
	for _, name := range o.propagate {
		errs = append(errs, checkHeaderName(name))
	}
	return errors.Join(errs...)
}
