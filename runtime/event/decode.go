package event

import (
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	eventv1 "github.com/micro-event/micro-event/proto/micro/event/v1"
	"github.com/micro-event/micro-event/runtime/broker"
)

// Decode replaces m by the event that d carries, for handlers of a Broker that
// meet typed events. The type on the wire must be that of m: the name of the
// message, or the type or an alias that its schema sets. Events of go-micro have
// no type; they are taken for what the caller expects.
//
// Errors match [ErrNotEvent], [ErrType], [ErrInvalidHeader] or [ErrCodec] and
// are permanent: a handler can return them as they are. [NewContext] gives the
// attributes of d.
func Decode(d *broker.Delivery, m proto.Message) error {
	if err := decode(d, m); err != nil {
		return undecodable(d.Topic, err)
	}
	return nil
}

func decode(d *broker.Delivery, m proto.Message) error {
	if m == nil || !m.ProtoReflect().IsValid() {
		return ErrNilEvent
	}
	headers := headersOf(d.Message.Header)
	typ := headers.get(headerType)
	switch {
	case typ == "" && isGoMicro(headers):
		return decodeGoMicro(headers, d.Message.Body, m)
	case typ == "":
		return notEvent(headerType)
	}
	if desc := m.ProtoReflect().Descriptor(); !hasType(desc, typ) {
		return fmt.Errorf("%w, not %s", &TypeError{typ}, desc.FullName())
	}
	codec, err := eventCodec(headers)
	if err != nil {
		return err
	}
	proto.Reset(m)
	return codec.readBody(d.Message.Body, m)
}

func decodeGoMicro(h headers, body []byte, m proto.Message) error {
	codec, body, err := goMicroBody(h, body)
	if err != nil {
		return err
	}
	proto.Reset(m)
	return codec.readBody(body, m)
}

// hasType reports whether typ is a name of the event on the wire.
func hasType(desc protoreflect.MessageDescriptor, typ string) bool {
	o, _ := proto.GetExtension(desc.Options(), eventv1.E_Event).(*eventv1.EventOptions)
	name := o.GetType()
	if name == "" {
		name = string(desc.FullName())
	}
	return typ == name || slices.Contains(o.GetAliases(), typ)
}

// eventCodec checks the headers of a message that has a type and returns the
// codec of its body.
func eventCodec(h headers) (Codec, error) {
	contentType := h.get(headerContentType)
	if contentType == "" {
		return "", notEvent(headerContentType)
	}
	if v := h.get(headerSpecVersion); v != "" && v != specVersion {
		return "", &HeaderError{headerSpecVersion, fmt.Sprintf("it is %q, not %s", v, specVersion)}
	}
	for _, required := range [...]string{headerID, headerSource} {
		if h.get(required) == "" {
			return "", &HeaderError{required, "the event has none"}
		}
	}
	return codecOf(contentType)
}

func notEvent(header string) error { return fmt.Errorf("%w: it has no header %s", ErrNotEvent, header) }

// undecodable marks err as permanent: the same bytes fail again.
func undecodable(topic string, err error) error {
	return Permanent(fmt.Errorf("event: decode message from %q: %w", topic, err))
}
