package event

import "google.golang.org/protobuf/proto"

// Spec is what the schema says of one event. Generated code declares one per
// event and passes it to every call; it is never changed.
type Spec struct {
	// Topic is where the event is published, before any prefix or mapping of the
	// client or server.
	Topic string

	// Type is the name of the event on the wire, the CloudEvents attribute type.
	Type string

	// Aliases are older names that receivers still accept.
	Aliases []string

	// Key returns the ordering and partition key of m, empty for none. Nil: the
	// event has no key. M is a message of the event's Go type.
	Key func(m proto.Message) string

	// Headers sets the headers that are copied from fields of m. Nil: none. M is
	// a message of the event's Go type.
	Headers func(m proto.Message, h HeaderSetter)
}

// name is what errors call the event.
func (s *Spec) name() string {
	if s == nil || s.Type == "" {
		return "event"
	}
	return s.Type
}

// names returns all names of the event on the wire that receivers accept.
func (s *Spec) names() []string { return append([]string{s.Type}, s.Aliases...) }

// HeaderSetter takes the headers that [Spec].Headers copies from fields.
type HeaderSetter struct{ headers *headers }

// Set sets one header. An empty value sets none.
func (h HeaderSetter) Set(name, value string) {
	if value != "" {
		h.headers.set(name, value)
	}
}
