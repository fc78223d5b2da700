package event_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	eventv1 "github.com/micro-event/micro-event/proto/micro/event/v1"
	"github.com/micro-event/micro-event/runtime/broker"
	"github.com/micro-event/micro-event/runtime/event"
)

func ignoreField(context.Context, *eventv1.HeaderField) error    { return nil }
func ignoreOptions(context.Context, *eventv1.EventOptions) error { return nil }

// started subscribes h to fieldSpec and starts a server.
func started(t *testing.T, b broker.Broker, h event.Handler[*eventv1.HeaderField], opts ...event.SubscribeOption) *event.Server {
	t.Helper()
	s := event.NewServer(b, "billing")
	if err := event.Subscribe(s, fieldSpec, h, opts...); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestHandlerSeesTheEventAndItsAttributes(t *testing.T) {
	b := &loopback{}
	calls := 0
	started(t, b, func(ctx context.Context, e *eventv1.HeaderField) error {
		calls++
		if e.GetName() != "acme" || e.GetField() != "k" {
			t.Errorf("event %v", e)
		}
		got := event.FromContext(ctx)
		attributes := []string{got.ID(), got.Source(), got.Type(), got.Topic(), got.Key(), got.Header("TENANT"), got.Header("Note")}
		want := []string{"id-1", "shop", "micro.event.v1.HeaderField", "shop.fields", "k", "acme", "x"}
		if !slices.Equal(attributes, want) {
			t.Errorf("attributes %q, want %q", attributes, want)
		}
		if time.Since(got.Time()) > time.Minute || got.Attempt() != 1 || len(maps.Collect(got.Headers())) != 7 {
			t.Errorf("time %v, attempt %d, headers %v", got.Time(), got.Attempt(), maps.Collect(got.Headers()))
		}
		return nil
	})
	ctx := event.WithHeader(event.WithID(t.Context(), "id-1"), "note", "x")
	if err := event.NewClient(b, "shop").PublishEvent(ctx, fieldSpec, field("acme", "k")); err != nil {
		t.Fatal(err)
	}
	if calls != 1 || b.outcomes[0] != nil {
		t.Errorf("%d calls, outcome %v", calls, b.outcomes)
	}
}

func TestEventOutsideAHandlerIsNilAndEmpty(t *testing.T) {
	e := event.FromContext(event.WithHeader(t.Context(), "tenant", "acme"))
	if e != nil {
		t.Fatalf("event %v", e)
	}
	if e.ID()+e.Source()+e.Type()+e.Topic()+e.Key()+e.Header("tenant") != "" || e.Attempt() != 0 || !e.Time().IsZero() {
		t.Error("a nil event has attributes")
	}
	for name := range e.Headers() {
		t.Errorf("a nil event has header %q", name)
	}
}

func TestHandlerErrorReachesTheBroker(t *testing.T) {
	b := &loopback{}
	cause := errors.New("no stock")
	started(t, b, func(context.Context, *eventv1.HeaderField) error { return event.Permanent(cause) })
	if err := event.NewClient(b, "s").PublishEvent(t.Context(), fieldSpec, field("", "")); err != nil {
		t.Fatal(err)
	}
	if err := b.outcomes[0]; !errors.Is(err, cause) || !broker.IsPermanent(err) {
		t.Errorf("outcome %v", err)
	}
}

// TestIncomingHeadersAreForwardedByNameOnly publishes from inside a handler.
func TestIncomingHeadersAreForwardedByNameOnly(t *testing.T) {
	inner := &loopback{}
	c := event.NewClient(inner, "billing", event.Propagate("Tenant", "region", "absent"))
	b := &loopback{}
	s := event.NewServer(b, "billing")
	err := event.Subscribe(s, fieldSpec, func(ctx context.Context, _ *eventv1.HeaderField) error {
		ctx = event.WithHeader(ctx, "region", "us")
		return c.PublishEvent(ctx, optionsSpec, &eventv1.EventOptions{})
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(event.WithHeader(t.Context(), "left-over", "of Start")); err != nil {
		t.Fatal(err)
	}
	ctx := event.WithHeader(event.WithHeader(t.Context(), "region", "eu"), "secret", "x")
	if err := event.NewClient(b, "shop").PublishEvent(ctx, fieldSpec, field("acme", "")); err != nil {
		t.Fatal(err)
	}
	got := inner.published[0].Header
	want := []string{"ce-id", "ce-source", "ce-time", "ce-type", "content-type", "region", "tenant"}
	if names := slices.Sorted(maps.Keys(got)); !slices.Equal(names, want) {
		t.Errorf("headers %q, want %q", names, want)
	}
	if got["tenant"] != "acme" || got["region"] != "us" || got["ce-source"] != "billing" {
		t.Errorf("headers %v", got)
	}
}

func TestTypesOfOneTopicAndQueueShareASubscription(t *testing.T) {
	b := &loopback{}
	s := event.NewServer(b, "billing")
	var got []string
	err := errors.Join(
		event.Subscribe(s, fieldSpec, func(ctx context.Context, _ *eventv1.HeaderField) error {
			got = append(got, "field by "+event.FromContext(ctx).Type())
			return nil
		}),
		event.Subscribe(s, optionsSpec, func(context.Context, *eventv1.EventOptions) error {
			got = append(got, "options")
			return nil
		}),
		event.Subscribe(s, optionsSpec, ignoreOptions, event.Queue("audit")),
		event.Subscribe(s, optionsSpec, ignoreOptions, event.Broadcast()),
		s.Start(t.Context()),
	)
	if err != nil {
		t.Fatal(err)
	}
	var queues []string
	for _, sub := range b.subs {
		queues = append(queues, sub.options.Queue)
	}
	if !slices.Equal(queues, []string{"billing", "audit", ""}) {
		t.Fatalf("queues %q", queues)
	}
	b.subs = b.subs[:1]
	old := *fieldSpec
	old.Type = "shop.v0.Field"
	c := event.NewClient(b, "s")
	err = errors.Join(
		c.PublishEvent(t.Context(), optionsSpec, &eventv1.EventOptions{}),
		c.PublishEvent(t.Context(), fieldSpec, field("", "")),
		c.PublishEvent(t.Context(), &old, field("", "")),
	)
	want := []string{"options", "field by micro.event.v1.HeaderField", "field by shop.v0.Field"}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("error %v, handled %q, want %q", err, got, want)
	}
}

func TestUnknownTypes(t *testing.T) {
	other := &event.Spec{Topic: "shop.fields", Type: "shop.Other"}
	tests := []struct {
		name   string
		shared bool // the server handles a second type, on another queue
		opts   []event.SubscribeOption
		want   error
	}{
		{"permanent by default", false, nil, event.ErrType},
		{"ignored on a shared topic", true, nil, nil},
		{"ignored by option", false, []event.SubscribeOption{event.IgnoreUnknownTypes()}, nil},
		{"permanent by option", true, []event.SubscribeOption{event.RejectUnknownTypes()}, event.ErrType},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := &loopback{}
			s := event.NewServer(b, "billing")
			if err := event.Subscribe(s, fieldSpec, ignoreField, tt.opts...); err != nil {
				t.Fatal(err)
			}
			if tt.shared {
				if err := event.Subscribe(s, optionsSpec, ignoreOptions, event.Queue("audit")); err != nil {
					t.Fatal(err)
				}
			}
			err := errors.Join(s.Start(t.Context()), event.NewClient(b, "s").PublishEvent(t.Context(), other, field("", "")))
			if err != nil {
				t.Fatal(err)
			}
			if got := b.outcomes[0]; !errors.Is(got, tt.want) || broker.IsPermanent(got) != (tt.want != nil) {
				t.Errorf("outcome %v, want %v", got, tt.want)
			}
		})
	}
}

func TestOptionsReachTheBroker(t *testing.T) {
	defaults := broker.NewSubscribeOptions(broker.Queue("billing"))
	tests := []struct {
		name string
		opts []event.SubscribeOption
		want func(o *broker.SubscribeOptions)
	}{
		{"none", nil, func(o *broker.SubscribeOptions) { o.DeadLetter = "billing.dead-letters" }},
		{"all", []event.SubscribeOption{
			event.Queue("q"), event.Concurrency(8), event.Prefetch(16), event.Window(100), event.MaxAttempts(3), event.DeadLetter("dl"),
			event.MaxDeliveries(50), event.Backoff(time.Second, time.Minute),
		}, func(o *broker.SubscribeOptions) {
			*o = broker.SubscribeOptions{
				Queue: "q", MaxInFlight: 8, Prefetch: 16, Window: 100, MaxAttempts: 3, DeadLetter: "dl",
				MaxDeliveries: 50, BackoffMin: time.Second, BackoffMax: time.Minute,
			}
		}},
		{"drop", []event.SubscribeOption{event.Broadcast(), event.NoDeadLetter(), event.DropAfter(2)}, func(o *broker.SubscribeOptions) {
			o.Queue, o.MaxAttempts, o.DropExhausted = "", 2, true
		}},
		{"the last counts", []event.SubscribeOption{
			event.DropAfter(2), event.MaxAttempts(3), event.NoDeadLetter(), event.DeadLetter("dl"),
		}, func(o *broker.SubscribeOptions) { o.MaxAttempts, o.DeadLetter = 3, "dl" }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := &loopback{declares: true}
			started(t, b, ignoreField, tt.opts...)
			want := defaults
			tt.want(&want)
			if got := b.subs[0].options; got != want {
				t.Errorf("options\n got %+v\nwant %+v", got, want)
			}
		})
	}
}

func TestNoDeadLetterByDefaultWhereItWouldNotHelp(t *testing.T) {
	b := &loopback{}
	started(t, b, ignoreField)
	if got := b.subs[0].options.DeadLetter; got != "" {
		t.Errorf("dead letter %q on a broker that declares no queues", got)
	}
	b = &loopback{declares: true}
	s := event.NewServer(b, "billing")
	spec := &event.Spec{Topic: "billing.dead-letters", Type: "x"}
	if err := errors.Join(event.Subscribe(s, spec, ignoreField), s.Start(t.Context())); err != nil {
		t.Fatal(err)
	}
	if got := b.subs[0].options.DeadLetter; got != "" {
		t.Errorf("dead letter of the dead letters is %q", got)
	}
}

func TestSubscribeRefusesContradictions(t *testing.T) {
	tests := []struct {
		name string
		spec *event.Spec
		opts []event.SubscribeOption
		want string // empty: accepted
	}{
		{
			"same type", fieldSpec, nil,
			`event: subscribe micro.event.v1.HeaderField: conflicting subscriptions: type "micro.event.v1.HeaderField" is handled for micro.event.v1.HeaderField already on topic "shop.fields", queue "billing"`,
		},
		{
			"alias of the first", &event.Spec{Topic: "shop.fields", Type: "shop.v0.Field"}, nil,
			`event: subscribe shop.v0.Field: conflicting subscriptions: type "shop.v0.Field" is handled for micro.event.v1.HeaderField already on topic "shop.fields", queue "billing"`,
		},
		{
			"other options", &event.Spec{Topic: "shop.fields", Type: "x"},
			[]event.SubscribeOption{event.Concurrency(4), event.IgnoreUnknownTypes()},
			`event: subscribe x: conflicting subscriptions: options differ from those of micro.event.v1.HeaderField on topic "shop.fields", queue "billing": concurrency 4 against 1, unknown types "ignored" against ""`,
		},
		{
			"raw twice", &event.Spec{Topic: "shop.fields", Type: "x"},
			[]event.SubscribeOption{event.AcceptRaw("application/json")},
			`event: subscribe x: conflicting subscriptions: micro.event.v1.HeaderField accepts raw messages already on topic "shop.fields", queue "billing"`,
		},
		{"same type on another queue", fieldSpec, []event.SubscribeOption{event.Queue("audit")}, ""},
		{"same type on another topic", &event.Spec{Topic: "other", Type: fieldSpec.Type}, nil, ""},
		{"another type", &event.Spec{Topic: "shop.fields", Type: "x"}, nil, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := event.NewServer(&loopback{}, "billing")
			if err := event.Subscribe(s, fieldSpec, ignoreField, event.AcceptRaw("application/protobuf")); err != nil {
				t.Fatal(err)
			}
			err := event.Subscribe(s, tt.spec, ignoreField, tt.opts...)
			if tt.want == "" && err == nil {
				return
			}
			if !errors.Is(err, event.ErrConflict) || err.Error() != tt.want {
				t.Errorf("error %v\n want %s", err, tt.want)
			}
		})
	}
}

func TestSubscribeRefusesWhatIsNotValid(t *testing.T) {
	server := func(service string) *event.Server { return event.NewServer(&loopback{}, service) }
	sub := func(service string, opts ...event.SubscribeOption) error {
		return event.Subscribe(server(service), fieldSpec, ignoreField, opts...)
	}
	running := event.NewServer(&loopback{}, "billing")
	if err := running.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	anyHandler := func(context.Context, proto.Message) error { return nil }
	tests := []struct {
		name string
		err  error
		want string
	}{
		{"service", sub("my service"), "name of the service: invalid topic"},
		{"nil broker", event.Subscribe(event.NewServer(nil, "s"), fieldSpec, ignoreField), "broker of the server is nil"},
		{"topic", event.Subscribe(server("s"), &event.Spec{Topic: "a..b", Type: "x"}, ignoreField), "invalid topic"},
		{"no type", event.Subscribe(server("s"), &event.Spec{Topic: "a"}, ignoreField), "spec has no type"},
		{"nil spec", event.Subscribe(server("s"), nil, ignoreField), "spec is nil"},
		{"nil handler", event.Subscribe[*eventv1.HeaderField](server("s"), fieldSpec, nil), "handler is nil"},
		{"interface", event.Subscribe(server("s"), fieldSpec, anyHandler), "not a message type"},
		{"queue", sub("s", event.Queue("")), "queue: invalid topic"},
		{"dead letter", sub("s", event.DeadLetter("a b")), "dead letter: invalid topic"},
		{"concurrency", sub("s", event.Concurrency(0)), "concurrency: 0 is less than 1"},
		{"prefetch", sub("s", event.Prefetch(0)), "prefetch: 0 is less than 1"},
		{"window", sub("s", event.Window(-1)), "window: -1 is less than 1"},
		{"max attempts", sub("s", event.MaxAttempts(0)), "max attempts: 0"},
		{"drop after", sub("s", event.DropAfter(0)), "drop after: 0"},
		{"max deliveries", sub("s", event.MaxDeliveries(0)), "max deliveries: 0"},
		{"backoff", sub("s", event.Backoff(2, 1)), "backoff: 2ns to 1ns"},
		{"raw", sub("s", event.AcceptRaw("text/plain")), `accept raw: codec: unknown content type "text/plain"`},
		{"running server", event.Subscribe(running, fieldSpec, ignoreField), "server is started"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.err == nil || !strings.Contains(tt.err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", tt.err, tt.want)
			}
		})
	}
}
