package event_test

import (
	"context"
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	eventv1 "github.com/micro-event/micro-event/proto/micro/event/v1"
	"github.com/micro-event/micro-event/runtime/broker"
	"github.com/micro-event/micro-event/runtime/event"
)

// frame puts gRPC's frame around a body, as go-micro's gRPC codec does.
func frame(body string) string {
	return string(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(body)))) + body
}

func TestEventsOfGoMicroAreUnderstood(t *testing.T) {
	body := encoded(t)
	const json = `{"name":"acme", "field":"id"}` + "\n"
	full := map[string]string{"Micro-Topic": "shop.fields", "Micro-Id": "m-1", "Micro-From-Service": "greeter"}
	tests := []struct {
		name, contentType, body string
		header                  map[string]string
		want                    error
	}{
		{"protobuf", "application/protobuf", body, full, nil},
		{"JSON with a line break", "application/json", json, full, nil},
		{"gRPC, raw", "application/grpc+proto", body, full, nil},
		{"gRPC, framed", "application/grpc+proto", frame(body), full, nil},
		{"gRPC without a format", "application/grpc", frame(body), full, nil},
		{"gRPC with JSON", "application/grpc+json", json, full, nil},
		{"gRPC that says JSON, framed", "application/grpc+json", frame(body), full, nil},
		{"gRPC with parameters", "Application/gRPC+proto; x=y", frame(body), full, nil},
		{"gRPC in another format", "application/grpc+thrift", body, full, event.ErrCodec},
		{"in another spelling", "application/protobuf", body, map[string]string{"micro-topic": "shop.fields", "Micro-ID": "m-1", "micro-from-service": "greeter"}, nil},
		{"length that does not match", "application/grpc", frame(body)[:7], full, event.ErrCodec},
		{"truncated", "application/protobuf", body[:len(body)-1], full, event.ErrCodec},
		{"frame without gRPC", "application/protobuf", frame(body), full, event.ErrCodec},
		{"another format", "application/octet-stream", body, full, event.ErrCodec},
		{"content type that is none", ";;", body, full, event.ErrCodec},
		{"no content type", "", body, full, event.ErrNotEvent},
		{"a message of its broker", "application/protobuf", body, map[string]string{"Micro-Id": "m-1"}, event.ErrNotEvent},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := &broker.Message{Header: maps.Clone(tt.header), Body: []byte(tt.body)}
			if tt.contentType != "" {
				m.Header["Content-Type"] = tt.contentType
			}
			b := &loopback{}
			handled := ""
			started(t, b, func(ctx context.Context, e *eventv1.HeaderField) error {
				got := event.FromContext(ctx)
				handled = got.ID() + " " + got.Source() + " " + got.Type() + " " + e.GetName()
				return nil
			})
			if err := b.Publish(t.Context(), fieldSpec.Topic, m); err != nil {
				t.Fatal(err)
			}
			checkOutcome(t, "handler", b.outcomes[0], tt.want)
			if tt.want == nil && handled != "m-1 greeter  acme" {
				t.Errorf("handled %q", handled)
			}
			var e eventv1.HeaderField
			err := event.Decode(&broker.Delivery{Topic: fieldSpec.Topic, Message: *m}, &e)
			checkOutcome(t, "Decode", err, tt.want)
			if tt.want == nil && !proto.Equal(&e, field("acme", "id")) {
				t.Errorf("Decode gave %v", &e)
			}
		})
	}
}

func TestGoMicroEventOnATopicOfSeveralTypes(t *testing.T) {
	m := &broker.Message{Header: broker.Header{"Content-Type": "application/json", "Micro-Topic": "shop.fields"}, Body: []byte("{}")}
	for name, tt := range map[string]struct {
		opts []event.SubscribeOption
		want error
	}{
		"could be any":           {nil, event.ErrNotEvent},
		"is what AcceptRaw says": {[]event.SubscribeOption{event.AcceptRaw("application/protobuf")}, nil},
	} {
		b := &loopback{}
		s := event.NewServer(b, "billing")
		got := ""
		err := errors.Join(
			event.Subscribe(s, fieldSpec, ignoreField),
			event.Subscribe(s, optionsSpec, func(context.Context, *eventv1.EventOptions) error {
				got = "options"
				return nil
			}, tt.opts...),
			s.Start(t.Context()), b.Publish(t.Context(), "shop.fields", m),
		)
		if err != nil {
			t.Fatal(err)
		}
		if !errors.Is(b.outcomes[0], tt.want) || (got == "options") != (tt.want == nil) {
			t.Errorf("%s: outcome %v, handled %q", name, b.outcomes[0], got)
		}
	}
}

func TestGoMicroHeadersAreWrittenOnRequest(t *testing.T) {
	m := publishOne(t, event.WithID(t.Context(), "1"), field("acme", "id"), event.GoMicroHeaders(), event.WithCodec(event.JSON))
	for name, want := range map[string]string{
		"Content-Type": "application/json", "Micro-Topic": "shop.fields", "Micro-Id": "1",
		"content-type": "application/json", "ce-id": "1", "ce-type": fieldSpec.Type,
	} {
		if got := m.Header[name]; got != want {
			t.Errorf("header %s is %q, want %q", name, got, want)
		}
	}
	plain := publishOne(t, t.Context(), field("acme", "id"))
	for _, name := range []string{"Content-Type", "Micro-Topic", "Micro-Id"} {
		if slices.Contains(slices.Collect(maps.Keys(plain.Header)), name) {
			t.Errorf("header %s is written without the option", name)
		}
	}
}
