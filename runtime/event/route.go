package event

import (
	"context"
	"errors"
	"fmt"

	"github.com/micro-event/micro-event/runtime/broker"
)

// routeKey names a subscription of the broker. An empty queue is broadcast.
type routeKey struct{ topic, queue string }

func (k routeKey) String() string {
	if k.queue == "" {
		return fmt.Sprintf("topic %q, broadcast", k.topic)
	}
	return fmt.Sprintf("topic %q, queue %q", k.topic, k.queue)
}

// route is one subscription of the broker and the handlers it dispatches to. It
// does not change while it is subscribed.
type route struct {
	key      routeKey
	options  routeOptions
	first    *handler // whose options count
	shared   bool     // there are others
	handlers map[string]*handler
	raw      *handler // of messages without a type, nil for none
	rawCodec Codec
}

func newRoute(key routeKey, o routeOptions) *route {
	return &route{key: key, options: o, handlers: make(map[string]*handler)}
}

// add registers h, or changes nothing.
func (r *route) add(h *handler, o *subscribeOptions) error {
	if err := r.conflict(h, o); err != nil {
		return fmt.Errorf("%w: %w", ErrConflict, err)
	}
	if r.first == nil {
		r.first = h
	} else {
		r.shared = true
	}
	for _, name := range h.spec.names() {
		r.handlers[name] = h
	}
	if o.raw != "" {
		r.raw, r.rawCodec = h, o.raw
	}
	return nil
}

func (r *route) conflict(h *handler, o *subscribeOptions) error {
	if r.options != o.routeOptions {
		return fmt.Errorf("options differ from those of %s on %s: %s",
			r.first.spec.Type, r.key, o.differences(&r.options))
	}
	for _, name := range h.spec.names() {
		if other := r.handlers[name]; other != nil {
			return fmt.Errorf("type %q is handled for %s already on %s", name, other.spec.Type, r.key)
		}
	}
	if o.raw != "" && r.raw != nil {
		return fmt.Errorf("%s accepts raw messages already on %s", r.raw.spec.Type, r.key)
	}
	return nil
}

// receiver returns the handler that the broker calls. Whether the topic is
// shared decides about unknown types where no option does.
func (r *route) receiver(shared bool) broker.RecordHandler {
	ignore := r.options.unknown == ignoreUnknown || r.options.unknown == "" && shared
	return func(ctx context.Context, d *broker.RecordDelivery) error {
		match, err := r.match(&d.Record)
		if ignore && errors.Is(err, ErrType) {
			return nil
		}
		if err != nil {
			return undecodable(d.Topic, err)
		}
		m := match.handler.newMessage()
		if err := match.codec.readBody(match.body, m); err != nil {
			return undecodable(d.Topic, err)
		}
		return match.handler.call(newEventContext(ctx, d, &r.key), m)
	}
}

// match is who handles a message and how to read it.
type match struct {
	handler *handler
	codec   Codec
	body    []byte
}

// match decides by what the message says of itself, never by whether its body
// can be decoded: protobuf decodes many a foreign body without complaint.
func (r *route) match(m *broker.Record) (match, error) {
	header := headers(m.Header)
	typ := header.get(headerType)
	switch {
	case typ == "" && isGoMicro(header):
		return r.matchGoMicro(header, m.Body)
	case typ == "":
		return r.matchRaw(header, m.Body)
	}
	h := r.handlers[typ]
	if h == nil {
		return match{}, fmt.Errorf("%w on %s", &TypeError{typ}, r.key)
	}
	codec, err := eventCodec(header)
	return match{h, codec, m.Body}, err
}

func (r *route) matchRaw(header headers, body []byte) (match, error) {
	if r.raw == nil {
		return match{}, notEvent(headerType)
	}
	contentType := header.get(headerContentType)
	if contentType == "" {
		return match{r.raw, r.rawCodec, body}, nil
	}
	codec, err := codecOf(contentType)
	if err != nil || codec != r.rawCodec {
		return match{}, fmt.Errorf("%w and its content type is %q, not %s", notEvent(headerType), contentType, r.rawCodec)
	}
	return match{r.raw, codec, body}, nil
}

// matchGoMicro matches an event that has no type: only the topic says what it is.
func (r *route) matchGoMicro(header headers, body []byte) (match, error) {
	h := r.raw
	if h == nil && r.shared {
		return match{}, fmt.Errorf("%w; it is go-micro's, and several types are handled on %s (AcceptRaw says which it is)",
			notEvent(headerType), r.key)
	}
	if h == nil {
		h = r.first
	}
	codec, body, err := goMicroBody(header, body)
	return match{h, codec, body}, err
}
