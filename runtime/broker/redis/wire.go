package redisbroker

import (
	"errors"
	"strings"

	"github.com/redis/rueidis"

	"github.com/micro-event/micro-event/runtime/broker"
)

// Fields of an entry.
const (
	bodyField    = "b"
	keyField     = "k"
	headerPrefix = "h:"
)

// streamOf returns the key of a topic's stream. The braces keep what belongs to a
// topic in one slot of a cluster.
func streamOf(topic string) string { return "micro-event:{" + topic + "}" }

// add returns the command that appends a message to a stream that exists. The client
// may send it after its caller has gone, so the body is copied.
func (d *driver) add(topic string, r *broker.Record) rueidis.Completed {
	c := d.client.B().Arbitrary("XADD").Keys(streamOf(topic)).Args("NOMKSTREAM", "*", bodyField, string(r.Body))
	if r.Key != "" {
		c = c.Args(keyField, r.Key)
	}
	for i := range r.Header {
		c = c.Args(headerPrefix+r.Header[i].Name, r.Header[i].Value)
	}
	return c.Build()
}

var errTrimmed = errors.New("redis: the stream was trimmed before the message was handled; do not limit its length")

// newDelivery reads an entry. Fields that other programs added are left out.
func newDelivery(e *rueidis.XRangeSlice) *delivery {
	d := &delivery{id: e.ID}
	if len(e.FieldValues) == 0 {
		d.err = errTrimmed
		return d
	}
	d.record.Header = make([]broker.Field, 0, max(0, len(e.FieldValues)-1))
	for i := range e.FieldValues {
		f := &e.FieldValues[i]
		switch f.Field {
		case bodyField:
			d.record.Body = []byte(f.Value)
		case keyField:
			d.record.Key = f.Value
		default:
			if name, ok := strings.CutPrefix(f.Field, headerPrefix); ok && name != "" {
				d.record.Header = append(d.record.Header, broker.Field{Name: name, Value: f.Value})
			}
		}
	}
	return d
}
