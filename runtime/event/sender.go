package event

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"google.golang.org/protobuf/proto"

	"github.com/micro-event/micro-event/runtime/broker"
)

// sender is what clients have in common: it makes a publication of an event and
// hands it to deliver.
type sender struct {
	broker       broker.Broker
	source       string
	options      clientOptions
	err          error       // why nothing can be published
	wrapped      PublishFunc // sendWrapped inside of the interceptors, nil without any
	publications sync.Pool   // of *publication

	// deliver takes over the publication, and releases it.
	deliver func(context.Context, *publication) error
}

// start completes a sender whose other fields are set.
func (c *sender) start(deliver func(context.Context, *publication) error) {
	c.deliver = deliver
	c.publications.New = func() any { return newPublication() }
	if c.err == nil && len(c.options.wrap) > 0 {
		c.wrapped = chain(c.sendWrapped, c.options.wrap)
	}
}

func (c *sender) publishEvent(ctx context.Context, s *Spec, m proto.Message) error {
	if err := c.check(s, m); err != nil {
		return publishError(s.name(), rejected(err))
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
		return publishError(s.name(), err)
	}
	return nil
}

func (c *sender) check(s *Spec, m proto.Message) error {
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

func (c *sender) sendWrapped(ctx context.Context, s *Spec, m proto.Message) error {
	return c.send(ctx, s, m, outgoingOf(ctx))
}

// send publishes m with the headers of ctx and those in o, which are ctx's too.
func (c *sender) send(ctx context.Context, s *Spec, m proto.Message, o *outgoing) error {
	p := c.publications.Get().(*publication)
	if err := c.prepare(ctx, p, s, m, o); err != nil {
		c.release(p)
		return rejected(err)
	}
	return c.deliver(ctx, p)
}

// prepare fills p. Headers are set from the weakest to the strongest, the
// attributes last, so that nothing can replace those.
func (c *sender) prepare(ctx context.Context, p *publication, s *Spec, m proto.Message, o *outgoing) error {
	p.topic = s.Topic
	if err := p.headers.addOutgoing(ctx, o, c.options.propagate); err != nil {
		return err
	}
	id := p.headers[placeID].Value
	if id == "" && c.options.newID != nil {
		id = c.options.newID()
	}
	if s.Fields != nil {
		s.Fields(m, &p.fields)
	}
	p.stamp(id, c.options.now())
	p.headers[placeType].Value = s.Type
	p.headers[placeSource].Value = c.source
	p.headers[placeContentType].Value = string(c.options.codec)
	if c.options.goMicro {
		p.addGoMicro()
	}
	p.record.Header = p.headers
	var err error
	p.record.Body, err = c.options.codec.appendBody(p.record.Body, m)
	return err
}

func (c *sender) release(p *publication) {
	if p.reset() {
		c.publications.Put(p)
	}
}

func rejected(cause error) error { return fmt.Errorf("%w: %w", broker.ErrRejected, cause) }

// publishError says what was to be published and, if err does not, that nobody
// knows what became of it.
func publishError(name string, err error) error {
	for _, outcome := range [...]error{broker.ErrNotDelivered, broker.ErrUncertain, broker.ErrRejected} {
		if errors.Is(err, outcome) {
			return fmt.Errorf("event: publish %s: %w", name, err)
		}
	}
	return fmt.Errorf("event: publish %s: %w: %w", name, broker.ErrUncertain, err)
}
