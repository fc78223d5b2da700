package natsbroker

import (
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/micro-event/micro-event/runtime/broker"
)

// Headers of the CloudEvents binding that are not the message's own.
const (
	attributePrefix   = "ce-"
	specVersionHeader = "ce-specversion"
	specVersion       = "1.0"
	keyHeader         = "ce-partitionkey"
)

// userPrefix is put before the names of a message's headers that would mean
// something on the way.
const userPrefix = "micro-user-"

// reservedPrefix begins the names of headers that the server reads and writes.
const reservedPrefix = "nats-"

// packedHeader says how many bytes of headers stand before the body, packed. A
// message has it when its headers are more than the server takes.
const (
	packedHeader   = "micro-packed"
	maxHeaderBytes = 63 << 10
)

// newMsg returns the message of a record, and its size as the server counts it.
func newMsg(topic string, r *broker.Record, dedup bool) (*nats.Msg, int) {
	h := headerList{nats.Header{}, make([]string, 0, len(r.Header)+3), len("NATS/1.0\r\n\r\n")}
	attributes := 0
	for i := range r.Header {
		f := &r.Header[i]
		name, value := f.Name, f.Value
		if strings.HasPrefix(name, attributePrefix) {
			value = escape(value)
			attributes += required(name)
		}
		if isReserved(name) {
			name = userPrefix + name
		}
		h.set(name, value)
	}
	if attributes == len(requiredAttributes) {
		h.set(specVersionHeader, specVersion)
	}
	body := r.Body
	if h.size > maxHeaderBytes {
		var size string
		body, size = broker.PackHeader(r)
		h = headerList{nats.Header{}, nil, 0}
		h.set(packedHeader, size)
	}
	if r.Key != "" {
		h.set(keyHeader, escape(r.Key))
	}
	if dedup {
		if id := messageID(topic, r); id != "" {
			h.set(jetstream.MsgIDHeader, id)
		}
	}
	return &nats.Msg{Subject: topic, Header: h.header, Data: body}, h.size + len(body)
}

// headerList builds a header whose lists of values are parts of one array.
type headerList struct {
	header nats.Header
	values []string
	size   int // as it is sent
}

func (h *headerList) set(name, value string) {
	h.values = append(h.values, value)
	n := len(h.values)
	h.header[name] = h.values[n-1 : n : n]
	h.size += len(name) + len(value) + len(": \r\n")
}

// requiredAttributes are those that, with specversion, make an event.
var requiredAttributes = [...]string{"ce-id", "ce-source", "ce-type"}

func required(name string) int {
	for _, a := range requiredAttributes {
		if name == a {
			return 1
		}
	}
	return 0
}

func isReserved(name string) bool {
	switch name[0] {
	case 'n', 'N':
		return hasPrefixFold(name, reservedPrefix)
	case 'c':
		return name == specVersionHeader || name == keyHeader
	case 'm':
		return name == packedHeader || strings.HasPrefix(name, userPrefix)
	}
	return false
}

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// messageID returns what the server knows a repetition by: an event's id is
// unique for its source only, and the same event may be sent to several topics
// of a stream. Dead letters and what was redriven from them have none.
func messageID(topic string, r *broker.Record) string {
	var id, source string
	for i := range r.Header {
		switch f := &r.Header[i]; f.Name {
		case "ce-id":
			id = f.Value
		case "ce-source":
			source = f.Value
		case broker.DeadLetterTopicHeader, engineHeader:
			return ""
		}
	}
	if id == "" || source == "" {
		return ""
	}
	id, source = escape(id), escape(source) // neither has blanks then
	return topic + "/" + strconv.Itoa(len(id)) + "/" + id + "/" + source
}

// engineHeader carries what the engine adds to messages that it redrives.
const engineHeader = "micro-headers"

// newRecord undoes newMsg. Values of a name that stands several times, as other
// programs may send, are joined with commas.
func newRecord(m *nats.Msg) (broker.Record, error) {
	r := broker.Record{Body: m.Data}
	var err error
	if len(m.Header) > 0 {
		r.Header = make([]broker.Field, 0, len(m.Header))
	}
	for name, values := range m.Header {
		if name == "" || len(values) == 0 {
			continue
		}
		value := values[0]
		if len(values) > 1 {
			value = strings.Join(values, ", ")
		}
		switch {
		case name == keyHeader:
			r.Key = unescape(value)
		case name == packedHeader:
			err = broker.UnpackHeader(&r, value)
		case name == specVersionHeader && value == specVersion, hasPrefixFold(name, reservedPrefix):
		default:
			name = strings.TrimPrefix(name, userPrefix)
			if strings.HasPrefix(name, attributePrefix) {
				value = unescape(value)
			}
			r.Header = append(r.Header, broker.Field{Name: name, Value: value})
		}
	}
	return r, err
}

// escape percent-encodes a value as the CloudEvents bindings of NATS and HTTP
// want: blanks, quotes, percent signs and all but printable ASCII.
func escape(s string) string {
	n := 0
	for i := range len(s) {
		if mustEscape(s[i]) {
			n++
		}
	}
	if n == 0 {
		return s
	}
	b := make([]byte, 0, len(s)+2*n)
	for i := range len(s) {
		if c := s[i]; mustEscape(c) {
			const digits = "0123456789ABCDEF"
			b = append(b, '%', digits[c>>4], digits[c&15])
		} else {
			b = append(b, c)
		}
	}
	return string(b)
}

func mustEscape(c byte) bool { return c <= ' ' || c >= 0x7f || c == '"' || c == '%' }

// unescape undoes escape. A percent sign that begins no code stays as it is.
func unescape(s string) string {
	at := strings.IndexByte(s, '%')
	if at < 0 {
		return s
	}
	b := append(make([]byte, 0, len(s)), s[:at]...)
	for i := at; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if code, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				b = append(b, byte(code))
				i += 2
				continue
			}
		}
		b = append(b, s[i])
	}
	return string(b)
}
