package event_test

import (
	"context"
	"errors"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	eventv1 "github.com/micro-event/micro-event/proto/micro/event/v1"
	"github.com/micro-event/micro-event/runtime/broker"
	"github.com/micro-event/micro-event/runtime/event"
)

func publishOne(t *testing.T, ctx context.Context, m proto.Message, opts ...event.ClientOption) broker.Message {
	t.Helper()
	b := &loopback{}
	if err := event.NewClient(b, "shop/orders", opts...).PublishEvent(ctx, fieldSpec, m); err != nil {
		t.Fatal(err)
	}
	return b.published[0]
}

func TestPublishWritesACloudEvent(t *testing.T) {
	at := time.Date(2026, 5, 4, 3, 2, 1, 500_000_000, time.FixedZone("", 3600))
	m := publishOne(t, t.Context(), field("acme", "order_id"),
		event.WithClock(func() time.Time { return at }), event.WithIDSource(func() string { return "id-1" }))
	want := broker.Header{
		"ce-id": "id-1", "ce-source": "shop/orders", "ce-type": "micro.event.v1.HeaderField",
		"ce-time": "2026-05-04T02:02:01.5Z", "content-type": "application/protobuf", "tenant": "acme",
	}
	if !maps.Equal(m.Header, want) {
		t.Errorf("headers\n got %v\nwant %v", m.Header, want)
	}
	if m.Key != "order_id" {
		t.Errorf("key %q, want order_id", m.Key)
	}
	var got eventv1.HeaderField
	if err := proto.Unmarshal(m.Body, &got); err != nil || got.GetName() != "acme" {
		t.Errorf("body %v, error %v", &got, err)
	}
}

func TestJSONCodecWritesProtobufJSON(t *testing.T) {
	m := publishOne(t, t.Context(), field("acme", "order_id"), event.WithCodec(event.JSON))
	body := strings.ReplaceAll(string(m.Body), " ", "")
	if m.Header["content-type"] != "application/json" || body != `{"name":"acme","field":"order_id"}` {
		t.Errorf("content type %q, body %s", m.Header["content-type"], m.Body)
	}
}

func TestIDsAreUUIDsOfVersion7InOrder(t *testing.T) {
	b := &loopback{}
	now := time.UnixMilli(0x0192_3456_789a)
	c := event.NewClient(b, "s", event.WithClock(func() time.Time {
		now = now.Add(time.Microsecond)
		return now
	}))
	form := regexp.MustCompile(`^01923456-789[ab]-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	var ids []string
	for range 1000 {
		if err := c.PublishEvent(t.Context(), fieldSpec, field("", "")); err != nil {
			t.Fatal(err)
		}
		id := b.published[len(b.published)-1].Header["ce-id"]
		if !form.MatchString(id) {
			t.Fatalf("id %q does not match %s", id, form)
		}
		ids = append(ids, id)
	}
	if !slices.IsSorted(ids) || len(slices.Compact(ids)) != 1000 {
		t.Error("ids are not unique and in order")
	}
}

func TestTimesAreInRFC3339(t *testing.T) {
	b := &loopback{}
	var now time.Time
	c := event.NewClient(b, "s", event.WithClock(func() time.Time { return now }))
	for _, now = range []time.Time{
		{},
		time.Unix(0, 0), time.Unix(0, 1), time.Unix(0, 999_999_999), time.Unix(0, 120_000_000), time.Unix(-1, 5),
		time.Date(2026, 12, 31, 23, 59, 59, 999_999_990, time.FixedZone("", -3600)),
		time.Date(2027, 1, 1, 0, 59, 59, 1000, time.UTC), // the second before, but in UTC
	} {
		if err := c.PublishEvent(t.Context(), fieldSpec, field("", "")); err != nil {
			t.Fatal(err)
		}
		got := b.published[len(b.published)-1].Header["ce-time"]
		if want := now.UTC().Format(time.RFC3339Nano); got != want {
			t.Errorf("time %q, want %q", got, want)
		}
	}
}

func TestContextHeaders(t *testing.T) {
	ctx := event.WithHeader(t.Context(), "Region", "eu")
	both := event.WithHeader(ctx, "note", "x")
	tests := []struct {
		name string
		ctx  context.Context
		want map[string]string // "" for absent
	}{
		{"names are written in lower case", ctx, map[string]string{"region": "eu", "Region": "", "note": ""}},
		{"several add up", both, map[string]string{"region": "eu", "note": "x"}},
		{"the last value counts", event.WithHeader(both, "region", "us"), map[string]string{"region": "us"}},
		{"an empty value takes the header back", event.WithHeader(both, "region", ""), map[string]string{"region": "", "note": "x"}},
		{"the schema wins", event.WithHeader(ctx, "tenant", "other"), map[string]string{"tenant": "acme"}},
		{"a trace may be set", event.WithHeader(ctx, "traceparent", "00-1-2-3"), map[string]string{"traceparent": "00-1-2-3"}},
		{"attributes may be added", event.WithAttribute(ctx, "subject", "o/1"), map[string]string{"ce-subject": "o/1"}},
		{"an empty value takes the attribute back", event.WithAttribute(event.WithAttribute(ctx, "subject", "o/1"), "subject", ""), map[string]string{"ce-subject": ""}},
		{"the id may be pinned", event.WithID(event.WithID(ctx, "1"), "2"), map[string]string{"ce-id": "2"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := publishOne(t, tt.ctx, field("acme", "")).Header
			for name, want := range tt.want {
				if got, ok := h[name]; got != want || ok != (want != "") {
					t.Errorf("header %q is %q (%v), want %q", name, got, ok, want)
				}
			}
		})
	}
}

func TestSchemaCannotReplaceAttributes(t *testing.T) {
	b := &loopback{}
	spec := &event.Spec{Topic: "t", Type: "x.Y", Fields: func(_ proto.Message, f *event.Fields) {
		for _, name := range []string{"ce-id", "ce-type", "ce-source", "ce-time", "content-type"} {
			f.SetHeader(name, "forged")
		}
	}}
	if err := event.NewClient(b, "s").PublishEvent(t.Context(), spec, field("", "")); err != nil {
		t.Fatal(err)
	}
	for name, value := range b.published[0].Header {
		if value == "forged" {
			t.Errorf("header %q was replaced", name)
		}
	}
}

func TestPublishRefusesWhatIsNoEvent(t *testing.T) {
	ctx := t.Context()
	header := func(name string) context.Context { return event.WithHeader(ctx, name, "v") }
	ok := field("a", "b")
	client := func(source string, opts ...event.ClientOption) *event.Client {
		return event.NewClient(&loopback{}, source, opts...)
	}
	tests := []struct {
		name   string
		client *event.Client
		ctx    context.Context
		spec   *event.Spec
		event  proto.Message
		want   error
	}{
		{"nil", client("s"), ctx, fieldSpec, nil, event.ErrNilEvent},
		{"nil of its type", client("s"), ctx, fieldSpec, (*eventv1.HeaderField)(nil), event.ErrNilEvent},
		{"nil spec", client("s"), ctx, nil, ok, broker.ErrRejected},
		{"spec without type", client("s"), ctx, &event.Spec{Topic: "t"}, ok, broker.ErrRejected},
		{"nil broker", event.NewClient(nil, "s"), ctx, fieldSpec, ok, broker.ErrRejected},
		{"empty source", client(""), ctx, fieldSpec, ok, event.ErrInvalidSource},
		{"source with a space", client("my shop"), ctx, fieldSpec, ok, event.ErrInvalidSource},
		{"source with a bad escape", client("shop%zz"), ctx, fieldSpec, ok, event.ErrInvalidSource},
		{"unknown codec", client("s", event.WithCodec("text/xml")), ctx, fieldSpec, ok, event.ErrCodec},
		{"nil clock", client("s", event.WithClock(nil)), ctx, fieldSpec, ok, broker.ErrRejected},
		{"reserved name in the allow-list", client("s", event.Propagate("ce-id")), ctx, fieldSpec, ok, event.ErrInvalidHeader},
		{"header without a name", client("s"), header(""), fieldSpec, ok, event.ErrInvalidHeader},
		{"header with a space", client("s"), header("a b"), fieldSpec, ok, event.ErrInvalidHeader},
		{"header with a line break", client("s"), header("a\r\nb"), fieldSpec, ok, event.ErrInvalidHeader},
		{"header not in ASCII", client("s"), header("größe"), fieldSpec, ok, event.ErrInvalidHeader},
		{"header with a long name", client("s"), header(strings.Repeat("a", 256)), fieldSpec, ok, event.ErrInvalidHeader},
		{"content type", client("s"), header("Content-Type"), fieldSpec, ok, event.ErrInvalidHeader},
		{"attribute", client("s"), header("CE-Type"), fieldSpec, ok, event.ErrInvalidHeader},
		{"attribute as on Kafka", client("s"), header("ce_type"), fieldSpec, ok, event.ErrInvalidHeader},
		{"attribute as on AMQP", client("s"), header("cloudEvents:type"), fieldSpec, ok, event.ErrInvalidHeader},
		{"header of go-micro", client("s"), header("Micro-Id"), fieldSpec, ok, event.ErrInvalidHeader},
		{"a bad header under a good one", client("s"), event.WithHeader(header("ce-x"), "ok", "v"), fieldSpec, ok, event.ErrInvalidHeader},
		{"empty id", client("s"), event.WithID(ctx, ""), fieldSpec, ok, event.ErrInvalidHeader},
		{"attribute of the client", client("s"), event.WithAttribute(ctx, "time", "x"), fieldSpec, ok, event.ErrInvalidHeader},
		{"attribute in upper case", client("s"), event.WithAttribute(ctx, "Subject", "x"), fieldSpec, ok, event.ErrInvalidHeader},
		{"attribute without a name", client("s"), event.WithAttribute(ctx, "", "x"), fieldSpec, ok, event.ErrInvalidHeader},
		{"attribute with a long name", client("s"), event.WithAttribute(ctx, "a23456789012345678901", "x"), fieldSpec, ok, event.ErrInvalidHeader},
		{"string that is not UTF-8", client("s"), ctx, &event.Spec{Topic: "t", Type: "x"}, wrapperspb.String("\xff"), event.ErrCodec},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.client.PublishEvent(tt.ctx, tt.spec, tt.event)
			if !errors.Is(err, tt.want) || !errors.Is(err, broker.ErrRejected) {
				t.Errorf("error %v, want one that matches %q and %q", err, tt.want, broker.ErrRejected)
			}
		})
	}
}

func TestPublishTellsWhatBecameOfTheEvent(t *testing.T) {
	cause := &broker.PublishError{Topic: "shop.fields", Outcome: broker.ErrUncertain, Cause: broker.ErrClosed}
	err := event.NewClient(&loopback{fail: cause}, "s").PublishEvent(t.Context(), fieldSpec, field("", ""))
	want := `event: publish micro.event.v1.HeaderField: broker: publish to "shop.fields": delivery uncertain: broker is closed`
	if !errors.Is(err, broker.ErrUncertain) || errors.Is(err, broker.ErrRejected) || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
}

func TestConcurrentPublishesDoNotMix(t *testing.T) {
	b := &loopback{}
	c := event.NewClient(b, "s")
	var publishers sync.WaitGroup
	for i := range 8 {
		name := strings.Repeat(string(rune('a'+i)), 1+1000*i)
		publishers.Go(func() {
			ctx := event.WithHeader(t.Context(), "who", name)
			for range 50 {
				if err := c.PublishEvent(ctx, fieldSpec, field(name, name)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	publishers.Wait()
	for _, m := range b.published {
		var e eventv1.HeaderField
		if err := proto.Unmarshal(m.Body, &e); err != nil {
			t.Fatal(err)
		}
		if who := m.Header["who"]; e.GetName() != who || m.Key != who || m.Header["tenant"] != who {
			t.Fatalf("message of %.1q has key %.1q, tenant %.1q, body %.1q", who, m.Key, m.Header["tenant"], e.GetName())
		}
	}
	if len(b.published) != 400 {
		t.Errorf("%d messages, want 400", len(b.published))
	}
}

func TestNothingOfAnEventIsLeftForTheNext(t *testing.T) {
	b := &loopback{}
	c := event.NewClient(b, "s")
	rich := event.WithHeader(event.WithID(t.Context(), "pinned"), "note", "x")
	if err := c.PublishEvent(rich, fieldSpec, field("acme", "key")); err != nil {
		t.Fatal(err)
	}
	if err := c.PublishEvent(t.Context(), optionsSpec, &eventv1.EventOptions{}); err != nil {
		t.Fatal(err)
	}
	m := b.published[1]
	if len(m.Header) != 5 || m.Header["ce-id"] == "pinned" || m.Key != "" || len(m.Body) != 0 {
		t.Errorf("second message is %+v", m)
	}
}
