package event

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/micro-event/micro-event/runtime/broker"
)

// Client publishes events through a broker. It implements [Publisher] and may
// be used concurrently. It holds nothing that must be closed; the broker is the
// caller's to connect and disconnect.
type Client struct {
	broker       broker.Broker
	source       string
	options      clientOptions
	err          error       // why nothing can be published
	wrapped      PublishFunc // send inside of the interceptors, nil without any
	publications sync.Pool   // of *publication
}

var _ Publisher = (*Client)(nil)

// NewClient returns a client that publishes through b. Source says who
// publishes, as a URI reference that is not empty: "shop/orders", or
// "https://shop.example/orders". Receivers see it as [Event.Source].
//
// A source or an option that is not valid makes every call of
// [Client.PublishEvent] fail.
func NewClient(b broker.Broker, source string, opts ...ClientOption) *Client {
	c := &Client{broker: b, source: source, options: newClientOptions(opts)}
	c.publications.New = func() any { return newPublication() }
	if b == nil {
		c.err = errors.New("broker of the client is nil")
	}
	c.err = errors.Join(c.err, checkSource(source), c.options.check())
	if c.err == nil && len(c.options.wrap) > 0 {
		c.wrapped = chain(c.sendWrapped, c.options.wrap)
	}
	return c
}

// PublishEvent publishes m as s says. Generated publish functions call it. Nil
// means that the broker accepted the event, see broker.Broker; the errors are
// the variables of this package. Ctx bounds the call and adds headers, see
// [WithHeader].
func (c *Client) PublishEvent(ctx context.Context, s *Spec, m proto.Message) error {
	if err := c.check(s, m); err != nil {
		return publishError(s, rejected(err))
	}
	outgoing := outgoingOf(ctx)
	s = c.destination(s, outgoing)
	var err error
	if c.wrapped == nil {
		err = c.send(ctx, s, m, outgoing)
	} else {
		err = c.wrapped(ctx, s, m)
	}
	if err != nil {
		return publishError(s, err)
	}
	return nil
}

func (c *Client) sendWrapped(ctx context.Context, s *Spec, m proto.Message) error {
	return c.send(ctx, s, m, outgoingOf(ctx))
}

// send publishes m with the headers of ctx and those in o, which are ctx's too.
func (c *Client) send(ctx context.Context, s *Spec, m proto.Message, o *outgoing) error {
	p := c.publications.Get().(*publication)
	defer c.release(p)
	if err := c.prepare(ctx, p, s, m, o); err != nil {
		return rejected(err)
	}
	return c.publish(ctx, p)
}

// publish hands p to the broker. Records spare a copy; only an engine itself is
// asked for them, not what wraps one and may see to Publish in its own way.
func (c *Client) publish(ctx context.Context, p *publication) error {
	if engine, ok := c.broker.(*broker.Engine); ok {
		return engine.PublishRecord(ctx, p.topic, &p.record)
	}
	m := p.record.Message()
	return c.broker.Publish(ctx, p.topic, &m)
}

func (c *Client) check(s *Spec, m proto.Message) error {
	switch {
	case c.err != nil:
		return c.err
	case s == nil || s.Type == "":
		return errors.New("spec is nil or has no type")
	case m == nil || !m.ProtoReflect().IsValid():
		return ErrNilEvent
	}
	return nil
}

// prepare fills p. Headers are set from the weakest to the strongest, the
// attributes last, so that nothing can replace those.
func (c *Client) prepare(ctx context.Context, p *publication, s *Spec, m proto.Message, o *outgoing) error {
	p.topic = s.Topic
	if err := p.headers.addOutgoing(ctx, o, c.options.propagate); err != nil {
		return err
	}
	id := p.headers.get(headerID)
	if id == "" && c.options.newID != nil {
		id = c.options.newID()
	}
	if s.Headers != nil {
		s.Headers(m, HeaderSetter{&p.headers})
	}
	p.stamp(id, c.options.now())
	p.headers.set(headerSource, c.source)
	p.headers.set(headerType, s.Type)
	p.headers.set(headerContentType, string(c.options.codec))
	p.record.Header = p.headers
	if s.Key != nil {
		p.record.Key = s.Key(m)
	}
	var err error
	p.record.Body, err = c.options.codec.appendBody(p.record.Body, m)
	return err
}

func (c *Client) release(p *publication) {
	if p.reset() {
		c.publications.Put(p)
	}
}

func rejected(cause error) error { return fmt.Errorf("%w: %w", broker.ErrRejected, cause) }

// publishError says what was to be published and, if err does not, that nobody
// knows what became of it.
func publishError(s *Spec, err error) error {
	name := "event"
	if s != nil && s.Type != "" {
		name = s.Type
	}
	for _, outcome := range [...]error{broker.ErrNotDelivered, broker.ErrUncertain, broker.ErrRejected} {
		if errors.Is(err, outcome) {
			return fmt.Errorf("event: publish %s: %w", name, err)
		}
	}
	return fmt.Errorf("event: publish %s: %w: %w", name, broker.ErrUncertain, err)
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
