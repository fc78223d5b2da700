//go:build !race

// The race detector empties pools at random.

package httpbroker_test

import (
	"context"
	"testing"

	"github.com/micro-event/micro-event/runtime/broker"
	httpbroker "github.com/micro-event/micro-event/runtime/broker/http"
)

// TestPublishAllocations holds the budget of one message that is a request of its own,
// on both sides, on a connection that has changed to frames.
func TestPublishAllocations(t *testing.T) {
	registry := httpbroker.NewMemoryRegistry()
	handled := func(context.Context, *broker.RecordDelivery) error { return nil }
	if _, err := connect(t, registry).SubscribeRecords(t.Context(), "orders", handled, broker.Queue("billing")); err != nil {
		t.Fatal(err)
	}
	publisher := connect(t, registry)
	r := &broker.Record{Key: "o-1", Header: []broker.Field{{Name: "ce-type", Value: "Order"}}, Body: make([]byte, 200)}
	n := testing.AllocsPerRun(300, func() {
		if err := publisher.PublishRecord(t.Context(), "orders", r); err != nil {
			t.Fatal(err)
		}
	})
	if n > 30 {
		t.Errorf("a publish allocates %v times on both sides, want at most 30", n)
	}
}
