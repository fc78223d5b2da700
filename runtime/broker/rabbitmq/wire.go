package rabbitmqbroker

import (
	"fmt"
	"strings"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/micro-event/micro-event/runtime/broker"
)

// maxNameBytes is the most that AMQP's short strings hold.
const maxNameBytes = 255

// Headers on the wire.
const (
	attributePrefix  = "ce-"
	wirePrefix       = "cloudEvents:"
	otherWirePrefix  = "cloudEvents_" // for clients that cannot write the colon
	specVersion      = "specversion"
	specVersionValue = "1.0"
	contentType      = "content-type"
	keyHeader        = "micro-key"
	countHeader      = "x-delivery-count"

	// packedHeader says how many bytes of headers stand before the body, packed.
	packedHeader = "micro-packed"

	// maxHeaderBytes fit in one frame with the rest.
	maxHeaderBytes = 100 << 10
)

// newPublishing returns a message. The client has written it when it returns from
// publishing, so nothing is copied.
func newPublishing(r *broker.Record) amqp.Publishing {
	m := amqp.Publishing{DeliveryMode: amqp.Persistent, Body: r.Body, Headers: make(amqp.Table, len(r.Header)+2)}
	if isPlain(r.Header) {
		attributes := 0
		for i := range r.Header {
			f := &r.Header[i]
			if name, ok := strings.CutPrefix(f.Name, attributePrefix); ok {
				m.Headers[wirePrefix+name] = f.Value
				attributes += required(name)
			} else if f.Name == contentType {
				m.ContentType = f.Value
			} else {
				m.Headers[f.Name] = f.Value
			}
		}
		if attributes == 3 {
			m.Headers[wirePrefix+specVersion] = specVersionValue
		}
	} else {
		m.Body, m.Headers[packedHeader] = broker.PackHeader(r)
	}
	if r.Key != "" {
		m.Headers[keyHeader] = r.Key
	}
	return m
}

// required counts the attributes that, with specversion, make an event.
func required(name string) int {
	switch name {
	case "id", "source", "type":
		return 1
	}
	return 0
}

// isPlain reports whether headers can travel as headers.
func isPlain(fields []broker.Field) bool {
	total := 0
	for i := range fields {
		f := &fields[i]
		total += len(f.Name) + len(wirePrefix) + len(f.Value) + len("sSxxxx")
		if isReserved(f) {
			return false
		}
	}
	return total <= maxHeaderBytes
}

// isReserved reports whether a header would mean something on the way, or is longer
// than what would carry it.
func isReserved(f *broker.Field) bool {
	switch f.Name {
	case "CC", "BCC", keyHeader, packedHeader, attributePrefix, attributePrefix + specVersion:
		return true
	case contentType:
		return f.Value == "" || len(f.Value) > maxNameBytes
	}
	return strings.HasPrefix(f.Name, wirePrefix) || strings.HasPrefix(f.Name, otherWirePrefix) || isServers(f.Name) ||
		strings.HasPrefix(f.Name, attributePrefix) && len(f.Name) > maxNameBytes-len(wirePrefix)
}

// serverPrefixes begin the names of headers that the server adds.
var serverPrefixes = []string{"x-delivery-count", "x-acquired-count", "x-death", "x-first-death-", "x-last-death-", "x-opt-", "x-stream-"}

func isServers(name string) bool {
	if !strings.HasPrefix(name, "x-") {
		return false
	}
	for _, prefix := range serverPrefixes {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// newRecord undoes newPublishing. Values that other programs wrote as something else
// than strings are read as text.
func newRecord(m *amqp.Delivery) (broker.Record, error) {
	r := broker.Record{Body: m.Body, Header: make([]broker.Field, 0, len(m.Headers)+1)}
	var err error
	if m.ContentType != "" {
		r.Header = append(r.Header, broker.Field{Name: contentType, Value: m.ContentType})
	}
	for name, v := range m.Headers {
		value, ok := text(v)
		if !ok || isServers(name) {
			continue
		}
		attribute, found := strings.CutPrefix(name, wirePrefix)
		if !found {
			attribute, found = strings.CutPrefix(name, otherWirePrefix)
		}
		switch {
		case name == keyHeader:
			r.Key = value
		case name == packedHeader:
			err = broker.UnpackHeader(&r, value)
		case found && attribute == specVersion && value == specVersionValue:
		case found:
			r.Header = append(r.Header, broker.Field{Name: attributePrefix + attribute, Value: value})
		case name != "":
			r.Header = append(r.Header, broker.Field{Name: name, Value: value})
		}
	}
	return r, err
}

// text returns a header's value, unless it is a list or a table.
func text(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case []byte:
		return string(v), true
	case nil, amqp.Table, []any:
		return "", false
	default:
		return fmt.Sprint(v), true
	}
}

// deliveries is the count of a quorum queue, this delivery included; 0 for others.
func deliveries(m *amqp.Delivery, quorum bool) int {
	switch n := m.Headers[countHeader].(type) {
	case int64:
		return int(n) + 1
	case int32:
		return int(n) + 1
	}
	if quorum {
		return 1
	}
	return 0
}
