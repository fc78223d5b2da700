package broker

import (
	"context"
	"slices"
)

// Record is a message as drivers carry it. Its header is a list, which costs
// far less than a map to make, to copy and to send.
//
// Whoever is given a record must not change what it refers to, neither the list
// nor the body.
type Record struct {
	// Key, Body: see [Message].
	Key  string
	Body []byte

	// Header is in no particular order; each name stands once.
	Header []Field

	taken *bool // see OfferHeader
}

// Field is one header.
type Field struct{ Name, Value string }

// Get returns the value of the header called name, and whether there is one.
func (r *Record) Get(name string) (string, bool) {
	for i := range r.Header {
		if r.Header[i].Name == name {
			return r.Header[i].Value, true
		}
	}
	return "", false
}

// OfferHeader lets a driver keep the list of headers of a record that is published.
// Taken then becomes true before the publish returns, and the list must not be
// changed any more. A copy of the struct offers the list too: who publishes the
// record again later makes one of its fields.
func (r *Record) OfferHeader(taken *bool) { r.taken = taken }

// TakeHeader returns the list of headers for a driver to keep, and to read only: the
// list itself if it was offered, else a copy.
func (r *Record) TakeHeader() []Field {
	if r.taken == nil {
		return slices.Clone(r.Header)
	}
	*r.taken = true
	return r.Header
}

// Message returns a copy that shares nothing with r.
func (r *Record) Message() Message {
	m := Message{Key: r.Key}
	if len(r.Header) > 0 {
		m.Header = make(Header, len(r.Header))
		for _, f := range r.Header {
			m.Header[f.Name] = f.Value
		}
	}
	if r.Body != nil {
		m.Body = append(make([]byte, 0, len(r.Body)), r.Body...)
	}
	return m
}

// appendFields appends the headers of h to fields, which grow once at the most.
func appendFields(fields []Field, h Header) []Field {
	fields = slices.Grow(fields, len(h))
	for name, value := range h {
		fields = append(fields, Field{name, value})
	}
	return fields
}

// RecordHandler is a [Handler] of records. The delivery and the record's body are
// valid until it returns; the strings and the list of headers stay.
type RecordHandler func(ctx context.Context, d *RecordDelivery) error

// RecordDelivery is a [Delivery] of a record.
type RecordDelivery struct {
	Topic   string
	Record  Record
	Attempt int
}
