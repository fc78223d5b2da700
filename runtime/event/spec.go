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

	// Fields sets the key and the headers that are copied from fields of m, which
	// is a message of the event's Go type. Nil: there are none.
	Fields func(m proto.Message, f *Fields)
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

// Fields takes what [Spec].Fields copies from a message. Its methods are not
// inlined, because every event of a program calls them.
type Fields struct{ publication *publication }

// SetKey sets the ordering and partition key. Empty means none.
//
//go:noinline
func (f *Fields) SetKey(key string) { f.publication.record.Key = key }

// SetHeader sets one header. An empty value sets none.
//
//go:noinline
func (f *Fields) SetHeader(name, value string) {
	if value != "" {
		f.publication.headers.set(name, value)
	}
}
