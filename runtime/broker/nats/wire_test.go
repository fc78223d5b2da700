package natsbroker

import (
	"bytes"
	"maps"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/micro-event/micro-event/runtime/broker"
)

func record(key string, h broker.Header) *broker.Record {
	r := &broker.Record{Key: key, Body: []byte("body")}
	for name, value := range h {
		r.Header = append(r.Header, broker.Field{Name: name, Value: value})
	}
	return r
}

// TestCloudEventOnTheWire pins the binary mode of the CloudEvents binding for
// NATS, version 1.0.2, section 3.1.
func TestCloudEventOnTheWire(t *testing.T) {
	m, _ := newMsg("t", record("k 1", broker.Header{
		"ce-id": "1", "ce-source": "/shop", "ce-type": "shop.OrderCreated", "ce-subject": `50% "off" für`,
		"content-type": "application/protobuf", "tenant": "50% off",
	}), false)
	want := map[string]string{
		"ce-specversion": "1.0", "ce-partitionkey": "k%201",
		"ce-id": "1", "ce-source": "/shop", "ce-type": "shop.OrderCreated", "ce-subject": "50%25%20%22off%22%20f%C3%BCr",
		"content-type": "application/protobuf", "tenant": "50% off",
	}
	if got := flat(m.Header); !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if string(m.Data) != "body" {
		t.Errorf("body: got %q", m.Data)
	}
}

func flat(h nats.Header) map[string]string {
	m := make(map[string]string)
	for name, values := range h {
		m[name] = strings.Join(values, "|")
	}
	return m
}

func TestForeignMessageIsRead(t *testing.T) {
	r, err := newRecord(&nats.Msg{Data: []byte("x"), Header: nats.Header{
		"ce-specversion": {"1.0"}, "ce-id": {"a%20b%"}, "ce-partitionkey": {"%e2%82%ac"},
		"Several": {"1", "2"}, "Nats-Msg-Id": {"7"}, "none": nil, "": {"v"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	want := broker.Header{"ce-id": "a b%", "Several": "1, 2"}
	if got := r.Message(); got.Key != "€" || !maps.Equal(got.Header, want) || string(got.Body) != "x" {
		t.Errorf("got %+v, want key €, header %v and body x", got, want)
	}
	old, err := newRecord(&nats.Msg{Header: nats.Header{"ce-specversion": {"0.3"}}})
	if v, _ := old.Get("ce-specversion"); err != nil || v != "0.3" {
		t.Errorf("another specversion: got %q (%v), want it left to the reader", v, err)
	}
}

func TestServerMustNotReadUserHeaders(t *testing.T) {
	h := broker.Header{
		"Nats-Msg-Id": "1", "nats-rollup": "all", "NATS-Expected-Stream": "x", "ce-specversion": "1.0",
		"ce-partitionkey": "theirs", "micro-user-x": "1", "micro-user-micro-user-x": "2", "micro-packed": "3",
	}
	m, _ := newMsg("t", record("", h), false)
	for name := range m.Header {
		if !strings.HasPrefix(name, userPrefix) {
			t.Errorf("%q travels under its own name", name)
		}
	}
	arrives(t, record("", h), false)
}

// arrives sends a record through the codec.
func arrives(t *testing.T, sent *broker.Record, packed bool) {
	t.Helper()
	m, size := newMsg("t", sent, false)
	if _, ok := m.Header[packedHeader]; ok != packed {
		t.Errorf("headers packed: got %v, want %v", ok, packed)
	}
	wire := len(m.Data) + len("NATS/1.0\r\n\r\n")
	for name, value := range flat(m.Header) {
		wire += len(name) + len(value) + len(": \r\n")
	}
	if size < wire-len("NATS/1.0\r\n\r\n") || size > wire {
		t.Errorf("size: got %d, want %d", size, wire)
	}
	r, err := newRecord(m)
	if err != nil {
		t.Fatal(err)
	}
	got, want := r.Message(), sent.Message()
	if got.Key != want.Key || !maps.Equal(got.Header, want.Header) || !bytes.Equal(got.Body, want.Body) {
		t.Errorf("got %.200q, want %.200q", got, want)
	}
}

func TestManyHeadersTravelBeforeTheBody(t *testing.T) {
	arrives(t, record("key", broker.Header{
		"ce-id": "1", "ce-source": "s", "ce-type": "t", "Nats-X": "y", "large": strings.Repeat("v", 64<<10),
	}), true)
}

func TestBrokenPackIsPoison(t *testing.T) {
	for _, m := range []*nats.Msg{
		{Header: nats.Header{packedHeader: {"x"}}, Data: []byte("body")},
		{Header: nats.Header{packedHeader: {"-1"}}, Data: []byte("body")},
		{Header: nats.Header{packedHeader: {"5"}}, Data: []byte("body")},
		{Header: nats.Header{packedHeader: {"4"}}, Data: []byte("body")},
		{Header: nats.Header{packedHeader: {"1"}}, Data: []byte("\x00")},
		{Header: nats.Header{packedHeader: {"2"}}, Data: []byte("\x00\xff")},
	} {
		if _, err := newRecord(m); err == nil {
			t.Errorf("header %v, body %q: got nil, want an error", m.Header, m.Data)
		}
	}
}

func FuzzWire(f *testing.F) {
	f.Add("key", "ce-id", "1%20 ", "Nats-Msg-Id", "x", "body")
	f.Add("", "micro-user-a", "%", "micro-packed", "1", "")
	f.Fuzz(func(t *testing.T, key, n1, v1, n2, v2, body string) {
		if n1 == "" || n2 == "" || n1 == n2 {
			t.Skip()
		}
		sent := &broker.Record{Key: key, Body: []byte(body), Header: []broker.Field{{Name: n1, Value: v1}, {Name: n2, Value: v2}}}
		m, _ := newMsg("t", sent, true)
		r, err := newRecord(m)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := r.Message(), sent.Message(); got.Key != want.Key || !maps.Equal(got.Header, want.Header) || string(got.Body) != body {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

// FuzzForeign reads whatever other programs may send.
func FuzzForeign(f *testing.F) {
	f.Add("ce-id", "%", "micro-packed", "3", []byte("\x01a\x00body"))
	f.Fuzz(func(t *testing.T, n1, v1, n2, v2 string, body []byte) {
		r, err := newRecord(&nats.Msg{Header: nats.Header{n1: {v1}, n2: {v2, v1}}, Data: body})
		if err == nil && len(r.Body) > len(body) {
			t.Errorf("a body of %d bytes became one of %d", len(body), len(r.Body))
		}
	})
}

func TestDeliveryCountIsRead(t *testing.T) {
	for reply, want := range map[string]int{
		"$JS.ACK.stream.consumer.3.10.11.1700000000000000000.0":                    3,
		"$JS.ACK.domain.account.stream.consumer.4.10.11.1700000000000000000.0":     4,
		"$JS.ACK.domain.account.stream.consumer.5.10.11.1700000000000000000.0.tok": 5,
		"$JS.ACK.stream.consumer.x.10.11.1.0":                                      0,
		"_INBOX.x":                                                                 0,
		"":                                                                         0,
	} {
		if got := deliveries(reply); got != want {
			t.Errorf("%s: got %d, want %d", reply, got, want)
		}
	}
}
