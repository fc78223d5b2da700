package gomicrobroker

import (
	"strings"

	gomicro "go-micro.dev/v5/broker"

	"github.com/micro-event/micro-event/runtime/broker"
)

// keyHeader carries the key, which go-micro's messages have no place for.
const keyHeader = "ce-partitionkey"

// userPrefix is put before the names of a message's own headers that would mean
// something to this package.
const userPrefix = "micro-user-"

// newMessage returns the message of a record, which shares nothing with it:
// go-micro's brokers keep what they are given, and its servers write into it.
func newMessage(r *broker.Record) *gomicro.Message {
	m := &gomicro.Message{
		Header: make(map[string]string, len(r.Header)+1),
		Body:   append([]byte{}, r.Body...),
	}
	for _, f := range r.Header {
		m.Header[outerName(f.Name)] = f.Value
	}
	if r.Key != "" {
		m.Header[keyHeader] = r.Key
	}
	return m
}

// newRecord undoes newMessage. Its header and body are copies: the subscribers
// of go-micro's memory broker share one message.
func newRecord(m *gomicro.Message) broker.Record {
	r := broker.Record{Body: append([]byte{}, m.Body...)}
	if len(m.Header) > 0 {
		r.Header = make([]broker.Field, 0, len(m.Header))
	}
	for name, value := range m.Header {
		if name == keyHeader {
			r.Key = value
			continue
		}
		r.Header = append(r.Header, broker.Field{Name: innerName(name), Value: value})
	}
	return r
}

func outerName(name string) string {
	if name == keyHeader || strings.HasPrefix(name, userPrefix) {
		return userPrefix + name
	}
	return name
}

func innerName(name string) string { return strings.TrimPrefix(name, userPrefix) }
