package cloudevents

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2"
	"github.com/cloudevents/sdk-go/v2/binding"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
	"github.com/cloudevents/sdk-go/v2/types"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/micro-event/micro-event/runtime/broker"
	memorybroker "github.com/micro-event/micro-event/runtime/broker/memory"
	"github.com/micro-event/micro-event/runtime/event"
	"github.com/micro-event/micro-event/runtime/event/eventtest"
)

var spec = &event.Spec{
	Topic: "shop.orders",
	Type:  "shop.v1.Order",
	Fields: func(m proto.Message, f *event.Fields) {
		f.SetKey(m.(*wrapperspb.StringValue).GetValue())
		f.SetHeader("tenant", "acme")
	},
}

// attributes has an extension attribute of each type in CloudEvents, as the SDK
// holds it and in its canonical text.
var attributes = []struct {
	name  string
	value any
	text  string
}{
	{"aboolean", true, "true"},
	{"aninteger", int32(-2147483648), "-2147483648"},
	{"astring", "plain", "plain"},
	{"abinary", []byte{0, 1, 254, 255}, "AAH+/w=="},
	{"auri", types.URI{URL: mustURL("https://shop.example/orders?id=1")}, "https://shop.example/orders?id=1"},
	{"auriref", types.URIRef{URL: mustURL("../orders#1")}, "../orders#1"},
	{"atimestamp", types.Timestamp{Time: time.Date(2026, 1, 2, 3, 4, 5, 600_000_000, time.UTC)}, "2026-01-02T03:04:05.6Z"},
}

func mustURL(s string) url.URL {
	u, err := url.Parse(s)
	if err != nil {
		panic(err)
	}
	return *u
}

// send does what the binding of a broker does on the way to HTTP: it adds the
// version, the key as an attribute, and sends the headers as they are.
func send(t *testing.T, m *broker.Message) cloudevents.Event {
	t.Helper()
	h := http.Header{"Ce-Specversion": {"1.0"}, "Ce-Partitionkey": {m.Key}}
	for name, value := range m.Header {
		h.Set(name, value)
	}
	e, err := binding.ToEvent(t.Context(), cehttp.NewMessage(h, readCloser{strings.NewReader(string(m.Body))}))
	if err != nil {
		t.Fatal(err)
	}
	return *e
}

type readCloser struct{ *strings.Reader }

func (readCloser) Close() error { return nil }

func TestTheSDKReadsWhatWeWrite(t *testing.T) {
	at := time.Date(2026, 5, 4, 3, 2, 1, 123_456_789, time.UTC)
	for _, codec := range []event.Codec{event.Protobuf, event.JSON} {
		rec := eventtest.NewRecorder(event.WithCodec(codec), event.WithClock(func() time.Time { return at }))
		ctx := event.WithAttribute(event.WithID(t.Context(), "id-1"), "subject", "orders/1")
		ctx = event.WithAttribute(ctx, "dataschema", "https://shop.example/schema")
		for _, a := range attributes {
			ctx = event.WithAttribute(ctx, a.name, a.text) //nolint:fatcontext // one for each attribute
		}
		if err := rec.PublishEvent(ctx, spec, wrapperspb.String("o-1")); err != nil {
			t.Fatal(err)
		}
		got := send(t, &rec.Records()[0].Message)
		if err := got.Validate(); err != nil {
			t.Fatalf("the SDK finds the event not valid: %v", err)
		}
		for name, pair := range map[string][2]string{
			"specversion": {got.SpecVersion(), "1.0"}, "id": {got.ID(), "id-1"}, "source": {got.Source(), "eventtest"},
			"type": {got.Type(), "shop.v1.Order"}, "subject": {got.Subject(), "orders/1"},
			"dataschema": {got.DataSchema(), "https://shop.example/schema"}, "datacontenttype": {got.DataContentType(), string(codec)},
			"partitionkey": {got.Extensions()["partitionkey"].(string), "o-1"},
		} {
			if pair[0] != pair[1] {
				t.Errorf("%s: %s is %q, want %q", codec, name, pair[0], pair[1])
			}
		}
		if !got.Time().Equal(at) {
			t.Errorf("%s: time %v, want %v", codec, got.Time(), at)
		}
		for _, a := range attributes {
			text, err := types.Format(got.Extensions()[a.name])
			if err != nil || text != a.text {
				t.Errorf("%s: %s is %q, error %v, want %q", codec, a.name, text, err, a.text)
			}
		}
		var body wrapperspb.StringValue
		if err := read(codec, got.Data(), &body); err != nil || body.GetValue() != "o-1" {
			t.Errorf("%s: body %v, error %v", codec, &body, err)
		}
	}
}

func read(codec event.Codec, data []byte, m proto.Message) error {
	if codec == event.JSON {
		return protojson.Unmarshal(data, m)
	}
	return proto.Unmarshal(data, m)
}

// receive does what the binding of a broker does on the way from HTTP.
func receive(t *testing.T, e cloudevents.Event) *broker.Message {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://shop.example", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if err := cehttp.WriteRequest(binding.WithForceBinary(t.Context()), (*binding.EventMessage)(&e), req); err != nil {
		t.Fatal(err)
	}
	m := &broker.Message{Header: broker.Header{}, Body: e.Data()}
	for name, values := range req.Header {
		m.Header[strings.ToLower(name)] = values[0]
	}
	return m
}

func TestWeReadWhatTheSDKWrites(t *testing.T) {
	at := time.Date(2026, 5, 4, 3, 2, 1, 123_456_789, time.UTC)
	for _, codec := range []event.Codec{event.Protobuf, event.JSON} {
		e := cloudevents.NewEvent()
		e.SetID("id-1")
		e.SetSource("https://shop.example/orders")
		e.SetType("shop.v1.Order")
		e.SetSubject("orders/1")
		e.SetDataSchema("https://shop.example/schema")
		e.SetTime(at)
		for _, a := range attributes {
			e.SetExtension(a.name, a.value)
		}
		body, err := proto.Marshal(wrapperspb.String("o-1"))
		if codec == event.JSON {
			body, err = protojson.Marshal(wrapperspb.String("o-1"))
		}
		if err := errors.Join(err, e.SetData(string(codec), body)); err != nil {
			t.Fatal(err)
		}
		got := handle(t, receive(t, e))
		for name, pair := range map[string][2]string{
			"id": {got.ID(), "id-1"}, "source": {got.Source(), "https://shop.example/orders"}, "type": {got.Type(), "shop.v1.Order"},
			"subject": {got.Header("ce-subject"), "orders/1"}, "dataschema": {got.Header("ce-dataschema"), "https://shop.example/schema"},
			"content type": {got.Header("content-type"), string(codec)},
		} {
			if pair[0] != pair[1] {
				t.Errorf("%s: %s is %q, want %q", codec, name, pair[0], pair[1])
			}
		}
		if !got.Time().Equal(at) {
			t.Errorf("%s: time %v, want %v", codec, got.Time(), at)
		}
		for _, a := range attributes {
			if text := got.Header("ce-" + a.name); text != a.text {
				t.Errorf("%s: %s is %q, want %q", codec, a.name, text, a.text)
			}
		}
	}
}

// handle publishes m, checks that it is handled, and returns what the handler
// knew of it.
func handle(t *testing.T, m *broker.Message) *event.Event {
	t.Helper()
	b := memorybroker.New(broker.WithLogger(slog.New(slog.NewTextHandler(t.Output(), nil))))
	s := event.NewServer(b, "billing")
	handled := make(chan *event.Event, 1)
	err := errors.Join(event.Subscribe(s, spec, func(ctx context.Context, e *wrapperspb.StringValue) error {
		if e.GetValue() != "o-1" {
			t.Errorf("event %v", e)
		}
		handled <- event.FromContext(ctx)
		return nil
	}), s.Start(t.Context()))
	if err := errors.Join(err, b.Publish(t.Context(), spec.Topic, m)); err != nil {
		t.Fatal(err)
	}
	got := <-handled
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	return got
}
