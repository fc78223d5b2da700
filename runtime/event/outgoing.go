package event

import (
	"context"
	"slices"
	"strings"

	"github.com/micro-event/micro-event/runtime/broker"
)

// WithHeader returns a context in which every event is published with the
// header name. The last value of a name counts; an empty one takes the header
// back. A header that the schema copies from a field that is set wins.
//
// Names are written in lower case and consist of letters, digits and
// !#$%&'*+-.^_`|~, at most 255 bytes. Reserved are content-type and all names
// that begin with ce-, ce_, cloudevents or micro-. A name that breaks these
// rules makes publishing fail with [ErrInvalidHeader].
//
// These headers are on their way out: [FromContext] does not see them, and a
// handler's context starts without any. For more than three of them an event
// costs noticeably more.
func WithHeader(ctx context.Context, name, value string) context.Context {
	name = strings.ToLower(name)
	return withOutgoing(ctx, name, value, checkHeaderName(name))
}

// WithID returns a context in which events are published with the given id
// instead of a new one, so that publishing again after broker.ErrUncertain is
// harmless for receivers that recognize ids. Use it for one event only. An
// empty id makes publishing fail with [ErrInvalidHeader].
func WithID(ctx context.Context, id string) context.Context {
	var err error
	if id == "" {
		err = &HeaderError{headerID, "the id of the event is empty"}
	}
	return withOutgoing(ctx, headerID, id, err)
}

// WithAttribute returns a context in which events are published with a further
// attribute of CloudEvents: subject, dataschema, or an extension. Value is its
// canonical text, such as "true", "42" or "2026-01-02T03:04:05Z"; the last value
// of a name counts, and an empty one takes the attribute back. Receivers find it
// as Header("ce-" + name).
//
// Names consist of lower-case letters and digits, at most 20. Those that the
// client or the broker writes, and names against these rules, make publishing
// fail with [ErrInvalidHeader].
func WithAttribute(ctx context.Context, name, value string) context.Context {
	return withOutgoing(ctx, attributePrefix+name, value, checkAttribute(name))
}

func withOutgoing(ctx context.Context, name, value string, err error) context.Context {
	return &outgoingContext{ctx, outgoing{outgoingOf(ctx), name, value, err}}
}

func outgoingOf(ctx context.Context) *outgoing {
	o, _ := ctx.Value(outgoingKey{}).(*outgoing)
	return o
}

// outgoing is one header that the context adds to events, in front of those of
// outer contexts. It is immutable, so contexts share their common tail.
type outgoing struct {
	outer       *outgoing
	name, value string
	err         error // why name or value are refused
}

// outgoingTopic is not a header but the topic that [WithTopic] sets.
const outgoingTopic = ":topic"

// topicOr returns the topic that [WithTopic] set, or else topic.
func (o *outgoing) topicOr(topic string) string {
	for ; o != nil; o = o.outer {
		if o.name == outgoingTopic {
			return o.value
		}
	}
	return topic
}

type outgoingKey struct{}

// outgoingContext is a context and its first outgoing header in one allocation.
type outgoingContext struct {
	context.Context
	outgoing outgoing
}

// Value implements context.Context.
func (c *outgoingContext) Value(key any) any {
	if _, ok := key.(outgoingKey); ok {
		return &c.outgoing
	}
	return c.Context.Value(key)
}

// addOutgoing adds the headers in o to h, which has only the places of the
// attributes, and those headers of the event being handled whose names are in
// propagate. The id that [WithID] set gets its place.
func (h *headers) addOutgoing(ctx context.Context, o *outgoing, propagate []string) error {
	takenBack := false
	for ; o != nil; o = o.outer {
		switch {
		case o.err != nil:
			return o.err
		case o.name == outgoingTopic:
		case o.name == headerID:
			if (*h)[placeID].Value == "" {
				(*h)[placeID].Value = o.value
			}
		case !h.has(o.name):
			*h = append(*h, broker.Field{Name: o.name, Value: o.value})
			takenBack = takenBack || o.value == ""
		}
	}
	h.addPropagated(ctx, propagate)
	if takenBack {
		added := slices.DeleteFunc((*h)[places:], func(f broker.Field) bool { return f.Value == "" })
		*h = (*h)[:places+len(added)]
	}
	return nil
}

func (h *headers) addPropagated(ctx context.Context, names []string) {
	if len(names) == 0 {
		return
	}
	incoming := FromContext(ctx)
	for _, name := range names {
		if value := incoming.Header(name); value != "" && !h.has(name) {
			h.set(name, value)
		}
	}
}
