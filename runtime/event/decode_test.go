package event_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	eventv1 "github.com/micro-event/micro-event/proto/micro/event/v1"
	"github.com/micro-event/micro-event/runtime/broker"
	"github.com/micro-event/micro-event/runtime/event"
)

// wire returns a valid message of fieldSpec with some headers replaced: pairs
// of name and value, an empty value removes the header.
func wire(t testing.TB, body string, replace ...string) *broker.Message {
	t.Helper()
	h := broker.Header{
		"ce-id": "1", "ce-source": "shop", "ce-type": fieldSpec.Type, "ce-time": "2026-01-02T03:04:05Z",
		"content-type": "application/protobuf",
	}
	for pair := range slices.Chunk(replace, 2) {
		h[pair[0]] = pair[1]
	}
	maps.DeleteFunc(h, func(_, v string) bool { return v == "" })
	return &broker.Message{Header: h, Body: []byte(body)}
}

func encoded(t testing.TB) string {
	t.Helper()
	b, err := proto.Marshal(field("acme", "id"))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestWhatArrives is the table of input on the wire and what becomes of it, for
// a typed handler and for Decode in a handler of the broker.
func TestWhatArrives(t *testing.T) {
	body := encoded(t)
	const json = `{"name":"acme","field":"id","later":1}`
	tests := []struct {
		name    string
		message *broker.Message
		want    error // nil: handled
	}{
		{"binary", wire(t, body), nil},
		{"binary with parameters", wire(t, body, "content-type", "Application/Protobuf; proto=x"), nil},
		{"JSON with a field that is not known", wire(t, json, "content-type", "application/json; charset=utf-8"), nil},
		{"headers in another case", wire(t, body, "ce-type", "", "Ce-Type", fieldSpec.Type, "content-type", "", "Content-Type", "application/protobuf"), nil},
		{"specversion left by a binding", wire(t, body, "ce-specversion", "1.0"), nil},
		{"no time", wire(t, body, "ce-time", ""), nil},
		{"time that is none", wire(t, body, "ce-time", "yesterday"), nil},
		{"specversion of another age", wire(t, body, "ce-specversion", "0.3"), event.ErrInvalidHeader},
		{"no id", wire(t, body, "ce-id", ""), event.ErrInvalidHeader},
		{"no source", wire(t, body, "ce-source", ""), event.ErrInvalidHeader},
		{"no type", wire(t, body, "ce-type", ""), event.ErrNotEvent},
		{"no content type", wire(t, body, "content-type", ""), event.ErrNotEvent},
		{"no headers", &broker.Message{Body: []byte(body)}, event.ErrNotEvent},
		{"nothing at all", &broker.Message{}, event.ErrNotEvent},
		{"another type", wire(t, body, "ce-type", "shop.Other"), event.ErrType},
		{"unknown content type", wire(t, body, "content-type", "text/plain"), event.ErrCodec},
		{"content type that is none", wire(t, body, "content-type", ";;"), event.ErrCodec},
		{"JSON that calls itself binary", wire(t, json), event.ErrCodec},
		{"binary that calls itself JSON", wire(t, body, "content-type", "application/json"), event.ErrCodec},
		{"truncated body", wire(t, body[:len(body)-1]), event.ErrCodec},
		{"body that is not UTF-8", wire(t, "\x0a\x01\xff"), event.ErrCodec},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := &loopback{}
			var handled []string
			started(t, b, func(_ context.Context, e *eventv1.HeaderField) error {
				handled = append(handled, e.GetName()+" "+e.GetField())
				return nil
			})
			if err := b.Publish(t.Context(), fieldSpec.Topic, tt.message); err != nil {
				t.Fatal(err)
			}
			checkOutcome(t, "handler", b.outcomes[0], tt.want)
			if ok := slices.Equal(handled, []string{"acme id"}); ok != (tt.want == nil) {
				t.Errorf("handled %q", handled)
			}
			var got eventv1.HeaderField
			got.ProtoReflect().SetUnknown(protoreflect.RawFields{0x78, 1}) // of what it was before
			err := event.Decode(&broker.Delivery{Topic: fieldSpec.Topic, Message: *tt.message}, &got)
			checkOutcome(t, "Decode", err, tt.want)
			if tt.want == nil && !proto.Equal(&got, field("acme", "id")) {
				t.Errorf("Decode gave %v", &got)
			}
		})
	}
}

func checkOutcome(t *testing.T, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) || broker.IsPermanent(got) != (want != nil) {
		t.Errorf("%s: error %v, want a permanent one that matches %v", what, got, want)
	}
	const prefix = `permanent: event: decode message from "shop.fields": `
	if got != nil && !strings.HasPrefix(got.Error(), prefix) {
		t.Errorf("%s: error %v, want it to begin with %s", what, got, prefix)
	}
}

func TestAcceptRaw(t *testing.T) {
	body := encoded(t)
	tests := []struct {
		name    string
		message *broker.Message
		want    error
	}{
		{"without headers", &broker.Message{Body: []byte(body)}, nil},
		{"with the content type", &broker.Message{Body: []byte(body), Header: broker.Header{"Content-Type": "application/protobuf"}}, nil},
		{"with another", &broker.Message{Body: []byte(body), Header: broker.Header{"content-type": "application/json"}}, event.ErrNotEvent},
		{"with an unknown one", &broker.Message{Body: []byte(body), Header: broker.Header{"content-type": "text/plain"}}, event.ErrNotEvent},
		{"foreign body", &broker.Message{Body: []byte("\xff\xff")}, event.ErrCodec},
		{"a typed event", wire(t, body), nil},
		{"an event of another type", wire(t, body, "ce-type", "shop.Other"), event.ErrType},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := &loopback{}
			handled := 0
			started(t, b, func(_ context.Context, e *eventv1.HeaderField) error {
				handled++
				return nil
			}, event.AcceptRaw("application/protobuf; version=1"))
			if err := b.Publish(t.Context(), fieldSpec.Topic, tt.message); err != nil {
				t.Fatal(err)
			}
			checkOutcome(t, "handler", b.outcomes[0], tt.want)
			if (handled == 1) != (tt.want == nil) {
				t.Errorf("handled %d times", handled)
			}
		})
	}
}

func TestDecodeIntoNil(t *testing.T) {
	d := &broker.Delivery{Message: *wire(t, "")}
	for _, m := range []proto.Message{nil, (*eventv1.HeaderField)(nil)} {
		if err := event.Decode(d, m); !errors.Is(err, event.ErrNilEvent) {
			t.Errorf("error %v", err)
		}
	}
}

// TestDecodeKnowsTheNamesOfTheSchema decodes a message whose schema renames it.
func TestDecodeKnowsTheNamesOfTheSchema(t *testing.T) {
	options := &descriptorpb.MessageOptions{}
	proto.SetExtension(options, eventv1.E_Event, &eventv1.EventOptions{Type: "shop.Order", Aliases: []string{"shop.v0.Order"}})
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: proto.String("x.proto"), Package: proto.String("x"),
		MessageType: []*descriptorpb.DescriptorProto{{Name: proto.String("Order"), Options: options}},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for typ, want := range map[string]error{"shop.Order": nil, "shop.v0.Order": nil, "x.Order": event.ErrType} {
		d := &broker.Delivery{Topic: "shop.fields", Message: *wire(t, "", "ce-type", typ)}
		err := event.Decode(d, dynamicpb.NewMessage(file.Messages().Get(0)))
		checkOutcome(t, typ, err, want)
	}
}

func TestLowerCaseHeaderCountsAmongSpellings(t *testing.T) {
	d := &broker.Delivery{Message: broker.Message{Header: broker.Header{"Tenant": "b", "TENANT": "a", "x": "1", "X": "2"}}}
	e := event.FromContext(event.NewContext(t.Context(), d))
	for range 20 {
		if e.Header("tenant") != "a" || e.Header("X") != "1" {
			t.Fatalf("tenant %q, x %q", e.Header("tenant"), e.Header("X"))
		}
	}
}

func FuzzDelivery(f *testing.F) {
	f.Add("ce-id", "1", "ce-type", fieldSpec.Type, "content-type", "application/protobuf", []byte(encoded(f)))
	f.Add("Ce-Type", "x", "ce-time", "2026-01-02T03:04:05+25:00", "content-type", "application/json;=", []byte(`{"name":1}`))
	f.Add("ce-type", "", "Micro-Topic", "shop.fields", "content-type", "application/grpc", []byte(frame(encoded(f))))
	f.Add("ce-specversion", "\x00", "", "", "CONTENT-TYPE", "a/b", []byte("\xff"))
	f.Fuzz(func(t *testing.T, k1, v1, k2, v2, k3, v3 string, body []byte) {
		b := &loopback{}
		started(t, b, func(ctx context.Context, _ *eventv1.HeaderField) error {
			e := event.FromContext(ctx)
			goMicro := e.Type() == "" && e.Header("micro-topic") != ""
			if !goMicro && (e.ID() == "" || e.Source() == "" || e.Type() == "") {
				t.Errorf("handled without id, source or type: %v", maps.Collect(e.Headers()))
			}
			_ = e.Time()
			return nil
		})
		m := wire(t, string(body))
		m.Header[k1], m.Header[k2], m.Header[k3] = v1, v2, v3
		if err := b.Publish(t.Context(), fieldSpec.Topic, m); err != nil {
			t.Fatal(err)
		}
		err := b.outcomes[0]
		known := err == nil
		for _, want := range []error{event.ErrNotEvent, event.ErrType, event.ErrInvalidHeader, event.ErrCodec} {
			known = known || errors.Is(err, want) && broker.IsPermanent(err)
		}
		if !known {
			t.Errorf("error %v", err)
		}
	})
}
