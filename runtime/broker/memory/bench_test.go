package memorybroker_test

import (
	"context"
	"log/slog"
	"testing"

	"github.com/micro-event/micro-event/runtime/broker"
	memorybroker "github.com/micro-event/micro-event/runtime/broker/memory"
)

// BenchmarkPublishHandle is what the engine and this driver cost, from Publish
// to the end of the handler, beside a channel that carries the same message: as
// it is, and as a broker has to, with a copy for the queue and one for the
// attempt.
func BenchmarkPublishHandle(b *testing.B) {
	m := &broker.Message{
		Key:    "order-1",
		Header: broker.Header{"ce-id": "1", "ce-type": "shop.orders.v1.OrderCreated", "content-type": "application/protobuf"},
		Body:   make([]byte, 200),
	}
	b.Run("channel", func(b *testing.B) { channel(b, m, func(m *broker.Message) *broker.Message { return m }) })
	b.Run("channel with two copies", func(b *testing.B) {
		channel(b, m, func(m *broker.Message) *broker.Message {
			c := m.Clone()
			return &c
		})
	})
	b.Run("memory", func(b *testing.B) { engine(b, m) })
}

func channel(b *testing.B, m *broker.Message, copied func(*broker.Message) *broker.Message) {
	c := make(chan *broker.Message, memorybroker.DefaultCapacity)
	handled := make(chan int)
	go func() {
		n := 0
		for m := range c {
			n += len(copied(m).Body) / 200
		}
		handled <- n
	}()
	b.ReportAllocs()
	for b.Loop() {
		c <- copied(m)
	}
	close(c)
	if n := <-handled; n != b.N {
		b.Fatalf("void: handled %d, want %d", n, b.N)
	}
}

func engine(b *testing.B, m *broker.Message) {
	br := memorybroker.New(broker.WithLogger(slog.New(slog.DiscardHandler)))
	if err := br.Connect(b.Context()); err != nil {
		b.Fatal(err)
	}
	n := 0
	h := func(context.Context, *broker.Delivery) error { n++; return nil }
	fence := make(chan struct{})
	sub, err := br.Subscribe(b.Context(), "t", func(ctx context.Context, d *broker.Delivery) error {
		if d.Message.Body == nil {
			close(fence)
			return nil
		}
		return h(ctx, d)
	}, broker.Queue("q"))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := br.Publish(b.Context(), "t", m); err != nil {
			b.Fatal(err)
		}
	}
	if err := br.Publish(b.Context(), "t", &broker.Message{Key: m.Key}); err != nil {
		b.Fatal(err)
	}
	<-fence
	if err := sub.Unsubscribe(b.Context()); err != nil {
		b.Fatal(err)
	}
	if n != b.N {
		b.Fatalf("void: handled %d, want %d", n, b.N)
	}
}
