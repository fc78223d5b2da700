package broker

import "context"

// Record is a message as drivers carry it. Its header is a list, which costs
// far less than a map to make, to copy and to send.
//
// Whoever is given a record must not change what it refers to, neither the list
// nor the body. Who publishes it uses both again, unless a driver took the list by
// [Record.TakeHeader].
type Record struct {
	// Key, Body: see [Message].
	Key  string
	Body []byte

	// Header is in no particular order; each name stands once.
	Header []Field

	taken bool
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

// TakeHeader returns the list of headers to a driver that keeps it, for reading.
// It spares a copy: whoever made the record makes another list for the next.
func (r *Record) TakeHeader() []Field {
	r.taken = true
	return r.Header
}

// HeaderTaken reports whether somebody keeps the list of headers.
func (r *Record) HeaderTaken() bool { return r.taken }

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

// appendFields appends the headers of h to fields.
func appendFields(fields []Field, h Header) []Field {
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
