package event_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	eventv1 "github.com/micro-event/micro-event/proto/micro/event/v1"
	"github.com/micro-event/micro-event/runtime/broker"
	"github.com/micro-event/micro-event/runtime/event"
)

// discard takes everything that is published.
type discard struct{ broker.Broker }

func (discard) Publish(context.Context, string, *broker.Message, ...broker.PublishOption) error {
	return nil
}

func large() *eventv1.HeaderField { return field("acme", strings.Repeat("x", 190)) }

// TestAllocations holds the budget of the layer itself. Publishing allocates
// the text of id and time, and nothing else.
func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector empties pools at random")
	}
	ctx := event.WithHeader(t.Context(), "note", "x")
	c := event.NewClient(discard{}, "shop")
	e := large()
	publish := testing.AllocsPerRun(1000, func() {
		if err := c.PublishEvent(ctx, fieldSpec, e); err != nil {
			t.Fatal(err)
		}
	})
	if publish > 1 {
		t.Errorf("publishing allocates %v times, want at most 1", publish)
	}

	b := &loopback{}
	started(t, b, func(ctx context.Context, _ *eventv1.HeaderField) error {
		_, _ = event.FromContext(ctx).ID(), event.FromContext(ctx).Header("note")
		return nil
	})
	body, err := proto.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	d := &broker.Delivery{Topic: fieldSpec.Topic, Message: *wire(t, string(body), "note", "x")}
	floor := testing.AllocsPerRun(1000, func() {
		if err := proto.Unmarshal(body, new(eventv1.HeaderField)); err != nil {
			t.Fatal(err)
		}
	})
	handle := testing.AllocsPerRun(1000, func() {
		if err := b.subs[0].handler(ctx, d); err != nil {
			t.Fatal(err)
		}
	})
	if handle > floor+1 {
		t.Errorf("handling allocates %v times, want at most 1 more than the %v of decoding", handle, floor)
	}
}

// BenchmarkFloor is what nobody can avoid: encode and decode.
func BenchmarkFloor(b *testing.B) {
	e := large()
	b.ReportAllocs()
	for b.Loop() {
		body, err := proto.Marshal(e)
		if err != nil {
			b.Fatal(err)
		}
		if err := proto.Unmarshal(body, new(eventv1.HeaderField)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPublish(b *testing.B) {
	ctx := event.WithHeader(b.Context(), "note", "x")
	c := event.NewClient(discard{}, "shop")
	e := large()
	b.ReportAllocs()
	for b.Loop() {
		if err := c.PublishEvent(ctx, fieldSpec, e); err != nil {
			b.Fatal(err)
		}
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
