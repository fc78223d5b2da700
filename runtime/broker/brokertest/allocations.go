package brokertest

import (
	"errors"
	"testing"

	"github.com/micro-event/micro-event/runtime/broker"
)

// allocationBatch is how many messages PublishAllocations publishes in one batch.
const allocationBatch = 100

// PublishAllocations returns how many allocations a message costs in this process,
// those of the client and of its goroutines included: published one after the other,
// and in batches of a hundred. It is an event of 200 bytes with six headers, and b must
// be connected. For the test of an adapter that holds a budget; the race detector, and
// a server in the same process, allocate too.
//
// A queue of the topic keeps the messages where the transport can declare one.
func PublishAllocations(t testing.TB, b *broker.Engine, topic string) (single, batched float64) {
	t.Helper()
	if b.DeclaresQueues() {
		if err := b.DeclareQueue(t.Context(), topic, "allocations"); err != nil {
			t.Fatal(err)
		}
	}
	m := &broker.Message{Key: "o-0123456789", Body: make([]byte, 200), Header: broker.Header{
		"ce-id":        "0198c5f0-7d0c-7000-8000-000000000000",
		"ce-source":    "shop/orders",
		"ce-time":      "2026-01-02T03:04:05.678901234Z",
		"ce-type":      "shop.orders.v1.OrderCreated",
		"content-type": "application/protobuf",
		"tenant":       "acme",
	}}
	batch := make([]*broker.Message, allocationBatch)
	for i := range batch {
		batch[i] = m
	}
	single = testing.AllocsPerRun(200, func() {
		if err := b.Publish(t.Context(), topic, m, broker.AllowNoSubscribers()); err != nil {
			t.Fatal(err)
		}
	})
	batched = testing.AllocsPerRun(20, func() {
		if err := errors.Join(b.PublishBatch(t.Context(), topic, batch, broker.AllowNoSubscribers())...); err != nil {
			t.Fatal(err)
		}
	})
	return single, batched / allocationBatch
}
