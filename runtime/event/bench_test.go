package event_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	eventv1 "github.com/micro-event/micro-event/proto/micro/event/v1"
	"github.com/micro-event/micro-event/runtime/broker"
	"github.com/micro-event/micro-event/runtime/event"
)

// discard is a transport that takes everything.
type discard struct{ broker.Driver }

func (discard) Info() broker.Info             { return broker.Info{Name: "discard"} }
func (discard) Connect(context.Context) error { return nil }
func (discard) Close(context.Context) error   { return nil }
func (discard) Publish(context.Context, string, *broker.Record, broker.PublishOptions) error {
	return nil
}

func discarding(t testing.TB) *broker.Engine {
	t.Helper()
	b := broker.New(discard{}, broker.WithLogger(slog.New(slog.DiscardHandler)))
	if err := b.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	return b
}

func large() *eventv1.HeaderField { return field("acme", strings.Repeat("x", 190)) }

// TestAllocations holds the budget of this layer, the engine and the in-process
// broker together: beside encoding and decoding the event, the text of id and
// time, and the context of the handler.
func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector empties pools at random")
	}
	ctx := event.WithHeader(t.Context(), "note", "x")
	e := large()
	c := event.NewClient(discarding(t), "shop")
	if n := testing.AllocsPerRun(1000, func() { publish(t, ctx, c, e) }); n > 1 {
		t.Errorf("publishing allocates %v times, want at most 1", n)
	}
	floor := testing.AllocsPerRun(1000, func() { encodeAndDecode(t, e) })

	b, handled := quietBroker(), make(chan struct{})
	s := started(t, b, func(ctx context.Context, _ *eventv1.HeaderField) error {
		_, _ = event.FromContext(ctx).ID(), event.FromContext(ctx).Header("note")
		handled <- struct{}{}
		return nil
	})
	c = event.NewClient(b, "shop")
	all := testing.AllocsPerRun(1000, func() {
		publish(t, ctx, c, e)
		<-handled
	})
	if all > floor+2 {
		t.Errorf("publish to handler allocates %v times, want at most 2 more than the %v of the event itself", all, floor)
	}
	if err := s.Stop(context.Background()); err != nil {
		t.Error(err)
	}
}

// TestAsyncAllocations holds the budget of asynchronous publishing: the text of
// id and time, and shares in what a batch needs.
func TestAsyncAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector empties pools at random")
	}
	const events = 500
	a, e := event.NewAsyncClient(event.NewClient(discarding(t), "shop")), large()
	n := testing.AllocsPerRun(100, func() {
		for range events {
			if err := a.PublishEvent(t.Context(), fieldSpec, e); err != nil {
				t.Fatal(err)
			}
		}
		if err := a.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
	if n/events > 1.5 {
		t.Errorf("publishing allocates %v times for an event, want at most 1.5", n/events)
	}
}

// TestInterceptorsAllocateNothing compares three on each side with none.
func TestInterceptorsAllocateNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector empties pools at random")
	}
	passPublish := func(next event.PublishFunc) event.PublishFunc {
		return func(ctx context.Context, s *event.Spec, m proto.Message) error { return next(ctx, s, m) }
	}
	pass := func(next event.PublishFunc) event.PublishFunc { return passPublish(next) }
	passHandle := func(next event.HandleFunc) event.HandleFunc {
		return func(ctx context.Context, m proto.Message) error { return next(ctx, m) }
	}
	quiet := slog.New(slog.DiscardHandler)
	measure := func(wrapPublish event.ClientOption, wrapHandle event.ServerOption) float64 {
		b, handled := quietBroker(), make(chan struct{})
		s := event.NewServer(b, "billing", wrapHandle)
		err := errors.Join(event.Subscribe(s, fieldSpec, func(context.Context, *eventv1.HeaderField) error {
			handled <- struct{}{}
			return nil
		}), s.Start(t.Context()))
		if err != nil {
			t.Fatal(err)
		}
		c, e := event.NewClient(b, "shop", wrapPublish), large()
		n := testing.AllocsPerRun(1000, func() {
			publish(t, t.Context(), c, e)
			<-handled
		})
		if err := s.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		return n
	}
	without := measure(event.WrapPublish(), event.WrapHandle())
	with := measure(
		event.WrapPublish(passPublish, event.LogPublish(quiet), pass),
		event.WrapHandle(event.LogHandle(quiet), passHandle, event.Dedup(event.NewMemoryDedup(100))),
	)
	if with > without {
		t.Errorf("%v allocations with interceptors, %v without", with, without)
	}
}

func publish(t testing.TB, ctx context.Context, c *event.Client, e *eventv1.HeaderField) { // Helper costs as much as half of it
	if err := c.PublishEvent(ctx, fieldSpec, e); err != nil {
		t.Fatal(err)
	}
}

func encodeAndDecode(t testing.TB, e *eventv1.HeaderField) {
	body, err := proto.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	if err := proto.Unmarshal(body, new(eventv1.HeaderField)); err != nil {
		t.Fatal(err)
	}
}

// BenchmarkFloor is what nobody can avoid: encode and decode.
func BenchmarkFloor(b *testing.B) {
	e := large()
	b.ReportAllocs()
	for b.Loop() {
		encodeAndDecode(b, e)
	}
}

func BenchmarkPublish(b *testing.B) {
	ctx := event.WithHeader(b.Context(), "note", "x")
	c := event.NewClient(discarding(b), "shop")
	e := large()
	b.ReportAllocs()
	for b.Loop() {
		publish(b, ctx, c, e)
	}
}

// BenchmarkBroker goes through the in-process broker with the same message, but
// without events: what is left of BenchmarkPublishToHandler is this layer's.
func BenchmarkBroker(b *testing.B) {
	inProcess := quietBroker()
	if err := inProcess.Connect(b.Context()); err != nil {
		b.Fatal(err)
	}
	handled, all := 0, make(chan struct{})
	count := func(context.Context, *broker.Delivery) error {
		if handled++; handled == b.N {
			close(all)
		}
		return nil
	}
	if _, err := inProcess.Subscribe(b.Context(), fieldSpec.Topic, count, broker.Queue("billing")); err != nil {
		b.Fatal(err)
	}
	body, err := proto.Marshal(large())
	if err != nil {
		b.Fatal(err)
	}
	m := wire(b, string(body), "note", "x", "tenant", "acme")
	m.Key = large().GetField()
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		if err := inProcess.Publish(b.Context(), fieldSpec.Topic, m); err != nil {
			b.Fatal(err)
		}
	}
	<-all
	b.StopTimer()
	if err := inProcess.Disconnect(b.Context()); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkPublishToHandler goes through the in-process broker, with a handler
// that reads an attribute and a header, while the publisher runs ahead.
func BenchmarkPublishToHandler(b *testing.B) {
	inProcess := quietBroker()
	s := event.NewServer(inProcess, "billing")
	handled, all := 0, make(chan struct{})
	err := event.Subscribe(s, fieldSpec, func(ctx context.Context, _ *eventv1.HeaderField) error {
		_, _ = event.FromContext(ctx).ID(), event.FromContext(ctx).Header("note")
		if handled++; handled == b.N {
			close(all)
		}
		return nil
	})
	if err := errors.Join(err, s.Start(b.Context())); err != nil {
		b.Fatal(err)
	}
	ctx := event.WithHeader(b.Context(), "note", "x")
	c := event.NewClient(inProcess, "shop")
	e := large()
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		if err := c.PublishEvent(ctx, fieldSpec, e); err != nil {
			b.Fatal(err)
		}
	}
	<-all
	b.StopTimer()
	if err := s.Stop(b.Context()); err != nil {
		b.Fatal(err)
	}
}
