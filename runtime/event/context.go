package event

import (
	"context"
	"iter"
	"strings"
	"time"

	"github.com/micro-event/micro-event/runtime/broker"
)

// Event is what a handler can know of the event it handles besides the message:
// its attributes and headers as they arrived. Its methods may be called on nil,
// which has no attributes, and concurrently. It stays valid after the handler.
type Event struct {
	from    *routeKey // nil in the zero value
	key     string
	attempt int
	headers headers
}

// FromContext returns the event that the handler with this context handles, or
// nil outside a handler.
func FromContext(ctx context.Context) *Event {
	e, _ := ctx.Value(eventKey{}).(*Event)
	return e
}

// NewContext returns a context in which [FromContext] gives the event that d
// carries, and which has no outgoing headers. The server makes the contexts of
// its handlers with it. Call it in a handler of a Broker, to read attributes
// there, or in the unit test of a handler. D must not change afterwards.
func NewContext(ctx context.Context, d *broker.Delivery) context.Context {
	return newEventContext(ctx, recordDelivery(d), &routeKey{topic: d.Topic})
}

func recordDelivery(d *broker.Delivery) *broker.RecordDelivery {
	r := broker.Record{Key: d.Message.Key, Header: headersOf(d.Message.Header), Body: d.Message.Body}
	return &broker.RecordDelivery{Topic: d.Topic, Record: r, Attempt: d.Attempt}
}

// newEventContext is NewContext for a record.
func newEventContext(ctx context.Context, d *broker.RecordDelivery, from *routeKey) context.Context {
	return &eventContext{ctx, Event{from, d.Record.Key, d.Attempt, d.Record.Header}}
}

// ID returns the id that the publisher gave to the event. With the source it
// is unique. Each attempt has the same. Empty only when a message was taken by
// [AcceptRaw], and when go-micro did not send one.
func (e *Event) ID() string { return e.either(headerID, microID) }

// Source returns the source of the client that published the event, or the name
// of the service when go-micro did. Empty only when a message was taken by
// [AcceptRaw], and when go-micro did not send one.
func (e *Event) Source() string { return e.either(headerSource, microSource) }

// either returns the value of the header name, which is in lower case, or else that
// of the other one.
func (e *Event) either(name, other string) string {
	if e == nil {
		return ""
	}
	if value := e.headers.get(name); value != "" {
		return value
	}
	return e.Header(other)
}

// Type returns the type as it stands on the wire, which may be an alias of the
// event's type. Empty only when a message was taken by [AcceptRaw] or published
// by go-micro, which knows no types.
func (e *Event) Type() string { return e.Header(headerType) }

// Time returns when the event was published, by the publisher's clock. It is
// zero when the event does not say, or not in the form of RFC 3339; the time
// only informs, so that such an event is handled all the same.
func (e *Event) Time() time.Time {
	t, err := time.Parse(time.RFC3339, e.Header(headerTime))
	if err != nil {
		return time.Time{}
	}
	return t
}

// Topic returns the topic that the event was published to.
func (e *Event) Topic() string {
	if e == nil || e.from == nil {
		return ""
	}
	return e.from.topic
}

// Queue returns the queue that the event came from, empty for broadcast and for
// an event from [NewContext].
func (e *Event) Queue() string {
	if e == nil || e.from == nil {
		return ""
	}
	return e.from.queue
}

// Key returns the ordering key, empty for none.
func (e *Event) Key() string {
	if e == nil {
		return ""
	}
	return e.key
}

// Attempt returns which attempt to handle the event this is, from 1. See
// broker.Delivery for who counts.
func (e *Event) Attempt() int {
	if e == nil {
		return 0
	}
	return e.attempt
}

// Header returns the value of a header, empty when there is none. The case of
// name does not matter. Attributes are headers too: Header("ce-subject").
func (e *Event) Header(name string) string {
	if e == nil {
		return ""
	}
	return e.headers.get(strings.ToLower(name))
}

// Headers returns all headers as they arrived, attributes included, in no
// particular order.
func (e *Event) Headers() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		if e == nil {
			return
		}
		for _, f := range e.headers {
			if !yield(f.Name, f.Value) {
				return
			}
		}
	}
}

type eventKey struct{}

// eventContext is the context of a handler and the event in one allocation.
// Outgoing headers end here: what a server was started with, or what another
// handler set, is not sent with the events of this one.
type eventContext struct {
	context.Context
	event Event
}

// Value implements context.Context.
func (c *eventContext) Value(key any) any {
	switch key.(type) {
	case eventKey:
		return &c.event
	case outgoingKey:
		return nil
	}
	return c.Context.Value(key)
}
