package brokertest

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/micro-event/micro-event/runtime/broker"
)

func headerTests() []test {
	return []test{
		{"M1_headers_arrive_exactly", (*env).headersExact, nil},
		{"M1_each_awkward_header_arrives_alone", (*env).headersAlone, nil},
		{"M1_nothing_is_added", (*env).nothingAdded, nil},
		{"M1_the_largest_headers_arrive", (*env).largestHeaders, nil},
		{"M1_keys_arrive_exactly", (*env).keysExact, nil},
		{"M1_bodies_arrive_exactly", (*env).bodiesExact, nil},
		{"M1_exact_after_a_retry", (*env).exactAfterRetry, nil},
		{"M1_headers_stay_after_the_handler", (*env).headersStay, nil},
		{"M2_a_body_over_the_limit_is_refused", (*env).bodyOverLimit, nil},
		{"M2_the_largest_body_arrives", (*env).largestBody, nil},
	}
}

// awkwardHeaders are headers that one transport or other changes, loses or
// merges.
func awkwardHeaders() broker.Header {
	return broker.Header{
		"plain":               "value",
		"empty":               "",
		"nul":                 "a\x00b",
		"crlf":                "a\r\nInjected: b",
		"lf":                  "\n",
		"tab":                 "\ta\tb\t",
		"del":                 "a\x7fb",
		"blanks":              "  a  b  ",
		"blank":               " ",
		"unicode":             "héllo wörld ☃ 日本語 \U0001F600",
		"percent":             "100%25%0d%0a",
		"base64":              "=?UTF-8?B?aGk=?=",
		"quotes":              `"quoted", 'single' \ back`,
		"commas":              "a,b, c;d=e",
		"Case":                "upper",
		"case":                "lower",
		"CASE":                "all",
		"Content-Type":        "text/Plain",
		"content-type":        "application/protobuf",
		"Content-Length":      "7",
		"Host":                "example.org",
		"Connection":          "close",
		"Transfer-Encoding":   "chunked",
		"ce-id":               "1",
		"ce_id":               "2",
		"ceid":                "3",
		"id":                  "4",
		"traceparent":         "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		"Nats-Msg-Id":         "m",
		"x-delivery-count":    "12",
		"name with blanks":    "a",
		"name:colon":          "b",
		"name\x00nul":         "c",
		"name\r\ncrlf":        "d",
		"nämé":                "e",
		"_under_score.dot-":   "f",
		"micro-headers":       "not the engine's",
		"micro-redrive-queue": "not the engine's either",
		"micro-dead-letter":   "g",
	}
}

// fullHeaders has as many headers and bytes of them as may be.
func fullHeaders() broker.Header {
	h := make(broker.Header)
	total := 0
	add := func(name string, size int) {
		h[name] = strings.Repeat("v", size)
		total += len(name) + size
	}
	add(strings.Repeat("n", broker.MaxHeaderNameBytes), 0)
	add("largest", broker.MaxHeaderValueBytes)
	for i := len(h); i < broker.MaxHeaderEntries-1; i++ {
		add(fmt.Sprintf("h%03d", i), 100)
	}
	const last = "last"
	add(last, broker.MaxHeaderBytes-total-len(last))
	return h
}

// exchange publishes messages to one handler and compares what arrives.
func (e *env) exchange(ms ...*broker.Message) {
	e.Helper()
	b, topic, in := e.connect(), e.topic("t"), e.inbox(nil)
	e.subscribe(e.connect(), topic, in, broker.Queue(e.queue("q")))
	for i, m := range ms {
		want := m.Clone()
		e.publish(b, topic, m)
		in.awaitHandled(i + 1)
		e.checkSame(fmt.Sprint("message ", i), in.snapshot()[i].message, want)
	}
}

func (e *env) headersExact() {
	e.exchange(&broker.Message{Key: "k", Header: awkwardHeaders(), Body: []byte("x")})
}

func (e *env) headersAlone() {
	all := awkwardHeaders()
	var ms []*broker.Message
	for _, name := range slices.Sorted(maps.Keys(all)) {
		ms = append(ms, &broker.Message{Header: broker.Header{name: all[name]}, Body: []byte(name)})
	}
	e.exchange(ms...)
}

func (e *env) nothingAdded() {
	e.exchange(
		&broker.Message{Body: []byte("no header")},
		&broker.Message{Header: broker.Header{}, Body: []byte("empty header")},
		&broker.Message{},
		&broker.Message{Key: "k"},
	)
}

func (e *env) largestHeaders() {
	e.exchange(&broker.Message{Header: fullHeaders(), Body: []byte("x")},
		&broker.Message{Header: broker.Header{
			"snow": strings.Repeat("\u2603", broker.MaxHeaderValueBytes/3),
			"ice":  strings.Repeat("\u2744", broker.MaxHeaderValueBytes/3-10),
		}})
}

func (e *env) keysExact() {
	var ms []*broker.Message
	for _, key := range []string{"k", " ", "a b", "K", "%6b", "日本語", "a\x00b", "a\r\nb: c", "#/+$>*", strings.Repeat("k", broker.MaxKeyBytes)} {
		ms = append(ms, message(key, "x"))
	}
	e.exchange(ms...)
}

func (e *env) bodiesExact() {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	e.exchange(
		&broker.Message{Body: every},
		&broker.Message{Body: bytes.Repeat(every, min(4<<10, e.MaxBody/256))},
		&broker.Message{Body: []byte{}},
		&broker.Message{Body: []byte("\n")},
		&broker.Message{Body: []byte{0}},
		&broker.Message{Body: []byte(`{"json": true}`)},
	)
}

func (e *env) exactAfterRetry() {
	b, topic, in := e.connect(), e.topic("t"), e.inbox(failTimes(2))
	e.subscribe(b, topic, in, broker.Queue(e.queue("q")))
	m := &broker.Message{Key: "k", Header: awkwardHeaders(), Body: []byte("x")}
	e.publish(b, topic, m)
	in.awaitHandled(1)
	for _, c := range in.snapshot() {
		e.checkSame(fmt.Sprint("attempt ", c.attempt), c.message, *m)
	}
}

// recordSubscriber is what layers above the engine subscribe with.
type recordSubscriber interface {
	SubscribeRecords(context.Context, string, broker.RecordHandler, ...broker.SubscribeOption) (broker.Subscriber, error)
}

// headersStay keeps the list of headers of each record, as package event does, while
// others follow.
func (e *env) headersStay() {
	b, topic := e.connect(), e.topic("t")
	records, ok := b.(recordSubscriber)
	if !ok {
		e.Skip("needs a broker with SubscribeRecords")
	}
	got := make(chan []broker.Field)
	_, err := records.SubscribeRecords(e.within(e.Deadline), topic, func(ctx context.Context, d *broker.RecordDelivery) error {
		select {
		case got <- d.Record.Header:
		case <-ctx.Done():
		}
		return nil
	}, broker.Queue(e.queue("q")))
	e.must("subscribe", err)
	values := []string{"a", "b", "c"}
	var kept [][]broker.Field
	deadline := e.within(e.Deadline)
	for _, value := range values {
		e.publish(b, topic, &broker.Message{Header: broker.Header{"name": value}})
		select {
		case list := <-got:
			kept = append(kept, list)
		case <-deadline.Done():
			e.Fatalf("the message with header %q has not come", value)
		}
	}
	for i, value := range values {
		if !slices.Equal(kept[i], []broker.Field{{Name: "name", Value: value}}) {
			e.Errorf("message %d: the list of its headers became %v, want name %s to stay", i, kept[i], value)
		}
	}
}

func (e *env) bodyOverLimit() {
	const limit = 1000
	b, topic, in := e.connect(broker.MaxMessageBytes(limit)), e.topic("t"), e.inbox(nil)
	e.subscribe(b, topic, in, broker.Queue(e.queue("q")))
	err := b.Publish(e.within(e.Deadline), topic, &broker.Message{Body: make([]byte, limit+1)})
	e.checkRefusal(topic, err, broker.ErrRejected, broker.ErrTooLarge)
	e.publish(b, topic, &broker.Message{Body: bytes.Repeat([]byte("x"), limit)})
	in.awaitHandled(1)
	e.fence(b, topic, "", in)
	if got := len(in.snapshot()); got != 1 {
		e.Errorf("messages: got %d, want the one within the limit", got)
	}
}

func (e *env) largestBody() {
	body := make([]byte, e.MaxBody)
	for i := range body {
		body[i] = byte(i % 251)
	}
	e.exchange(&broker.Message{Key: "k", Body: body})
}

// diff lists the headers that differ.
func diff(got, want broker.Header) string {
	var b strings.Builder
	names := slices.Concat(slices.Collect(maps.Keys(got)), slices.Collect(maps.Keys(want)))
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		g, inGot := got[name]
		w, inWant := want[name]
		switch {
		case !inGot:
			fmt.Fprintf(&b, "\n  %.40q is missing, want %.40q", name, w)
		case !inWant:
			fmt.Fprintf(&b, "\n  %.40q: got %.40q, want none", name, g)
		case g != w:
			fmt.Fprintf(&b, "\n  %.40q: got %.40q, want %.40q", name, g, w)
		}
	}
	return b.String()
}
