package memorybroker_test

import (
	"context"
	"log/slog"
	"sync"
	"testing"

	"github.com/micro-event/micro-event/runtime/broker"
	memorybroker "github.com/micro-event/micro-event/runtime/broker/memory"
)

// TestARecordIsThePublishers publishes one record from several goroutines, changes it,
// and only then lets it be handled.
func TestARecordIsThePublishers(t *testing.T) {
	const publishers = 4
	b := memorybroker.New(broker.WithLogger(slog.New(slog.DiscardHandler)))
	if err := b.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	changed := make(chan struct{})
	got := make(chan broker.Message, publishers)
	sub, err := b.SubscribeRecords(t.Context(), "t", func(_ context.Context, d *broker.RecordDelivery) error {
		<-changed
		got <- d.Record.Message()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	r := &broker.Record{Header: []broker.Field{{Name: "tenant", Value: "acme"}}, Body: []byte("order")}
	var published sync.WaitGroup
	for range publishers {
		published.Go(func() {
			if err := b.PublishRecord(t.Context(), "t", r); err != nil {
				t.Error(err)
			}
		})
	}
	published.Wait()
	r.Header[0].Value = "other"
	copy(r.Body, "xxxxx")
	close(changed)
	for range publishers {
		if m := <-got; m.Header["tenant"] != "acme" || string(m.Body) != "order" {
			t.Errorf("got %v with body %q, want what was published", m.Header, m.Body)
		}
	}
	if err := sub.Unsubscribe(t.Context()); err != nil {
		t.Error(err)
	}
}
