package event_test

import (
	"context"
	"errors"
	"testing"

	eventv1 "github.com/micro-event/micro-event/proto/micro/event/v1"
	"github.com/micro-event/micro-event/runtime/broker"
	"github.com/micro-event/micro-event/runtime/event"
)

func TestFaultsSayWhatIsAtFault(t *testing.T) {
	decode := func(replace ...string) error {
		return event.Decode(&broker.Delivery{Message: *wire(t, "\xff", replace...)}, new(eventv1.HeaderField))
	}
	publish := func(ctx context.Context, opts ...event.ClientOption) error {
		return event.NewClient(&loopback{}, "s", opts...).PublishEvent(ctx, fieldSpec, field("", ""))
	}
	for _, tt := range []struct {
		err  error
		want string
	}{
		{decode("ce-id", ""), "ce-id"},
		{decode("ce-specversion", "0.3"), "ce-specversion"},
		{publish(event.WithHeader(t.Context(), "CE-Id", "1")), "ce-id"},
		{publish(event.WithID(t.Context(), "")), "ce-id"},
		{publish(t.Context(), event.Propagate("a b")), "a b"},
	} {
		if e, ok := errors.AsType[*event.HeaderError](tt.err); !ok || e.Name != tt.want {
			t.Errorf("%v: %+v, want header %q", tt.err, e, tt.want)
		}
	}
	if e, ok := errors.AsType[*event.TypeError](decode("ce-type", "shop.Other")); !ok || e.Type != "shop.Other" {
		t.Errorf("type error %+v", e)
	}
	for contentType, err := range map[string]error{
		"text/plain":           decode("content-type", "text/plain"),
		"a b":                  decode("content-type", "a b"),
		"application/protobuf": decode(),
		"application/json":     decode("content-type", "application/json"),
		"text/xml":             publish(t.Context(), event.WithCodec("text/xml")),
	} {
		if e, ok := errors.AsType[*event.CodecError](err); !ok || e.ContentType != contentType {
			t.Errorf("%v: %+v, want content type %q", err, e, contentType)
		}
	}
}
