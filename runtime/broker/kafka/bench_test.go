package kafkabroker_test

import (
	"context"
	"os"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/micro-event/micro-event/runtime/broker"
	"github.com/micro-event/micro-event/runtime/broker/brokertest"
)

// serverURL is a real Kafka where there is one, else kfake, whose own work in
// this process hides some of the difference.
func serverURL(b *testing.B) string {
	if url := os.Getenv(serverVariable); url != "" {
		return url
	}
	return newCluster(b).url()
}

func BenchmarkConformance(b *testing.B) {
	brokertest.RunBenchmarks(b, brokersOf(serverURL(b)), brokertest.Features{})
}

// eventHeaders are those of an event, as this package puts them on the wire.
var eventHeaders = []kgo.RecordHeader{
	{Key: "ce_id", Value: []byte("0198c5f0-7d0c-7000-8000-000000000000")},
	{Key: "ce_type", Value: []byte("shop.orders.v1.OrderCreated")},
	{Key: "ce_source", Value: []byte("orders")},
	{Key: "ce_time", Value: []byte("2026-01-02T03:04:05.678Z")},
	{Key: "content-type", Value: []byte("application/protobuf")},
	{Key: "ce_specversion", Value: []byte("1.0")},
}

const batchSize = 512

// TestAllocationsOnARealServer holds the budget of the producer: a batch costs less than
// one allocation a message, the client's own included.
func TestAllocationsOnARealServer(t *testing.T) {
	url := variable(t, serverVariable)
	br, topic := connect(t, url), uniqueTopic()
	must(t, br.DeclareQueue(t.Context(), topic, "q"))
	batch := make([]*broker.Record, batchSize)
	for i := range batch {
		batch[i] = &broker.Record{Key: "order-1", Body: make([]byte, 200), Header: []broker.Field{
			{Name: "ce-id", Value: "0198c5f0-7d0c-7000-8000-000000000000"},
			{Name: "ce-type", Value: "shop.orders.v1.OrderCreated"},
			{Name: "ce-source", Value: "orders"},
			{Name: "content-type", Value: "application/protobuf"},
		}}
	}
	all := testing.AllocsPerRun(50, func() { must(t, firstOf(br.PublishRecords(t.Context(), topic, batch))) })
	if each := all / batchSize; each > 1 {
		t.Errorf("%.2f allocations a message, want at most 1", each)
	}
}

// BenchmarkPublish publishes the same message through the client alone and
// through this package, with the same options of the client: one after the
// other, by 64 at once, and in batches.
func BenchmarkPublish(b *testing.B) {
	url := serverURL(b)
	br, topic := connect(b, url), uniqueTopic()
	must(b, br.DeclareQueue(b.Context(), topic, "q"))
	client, err := kgo.NewClient(kgo.SeedBrokers(url[len("kafka://"):]), kgo.ProducerLinger(0))
	must(b, err)
	b.Cleanup(client.Close)
	body := make([]byte, 200)
	raw := func() *kgo.Record {
		return &kgo.Record{Topic: topic, Key: []byte("order-1"), Value: body, Headers: eventHeaders}
	}
	fields := []broker.Field{
		{Name: "ce-id", Value: "0198c5f0-7d0c-7000-8000-000000000000"},
		{Name: "ce-type", Value: "shop.orders.v1.OrderCreated"},
		{Name: "ce-source", Value: "orders"},
		{Name: "ce-time", Value: "2026-01-02T03:04:05.678Z"},
		{Name: "content-type", Value: "application/protobuf"},
	}
	ours := &broker.Record{Key: "order-1", Header: fields, Body: body}
	sync1 := map[string]func() error{
		"client": func() error { return client.ProduceSync(b.Context(), raw()).FirstErr() },
		"ours":   func() error { return br.PublishRecord(b.Context(), topic, ours) },
	}
	batch := make([]*broker.Record, batchSize)
	for i := range batch {
		batch[i] = ours
	}
	batches := map[string]func(n int) error{
		"client": func(n int) error { return produceAll(b.Context(), client, n, raw) },
		"ours":   func(n int) error { return firstOf(br.PublishRecords(b.Context(), topic, batch[:n])) },
	}
	for _, who := range []string{"client", "ours"} {
		b.Run("sync/"+who, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				must(b, sync1[who]())
			}
		})
	}
	for _, who := range []string{"client", "ours"} {
		b.Run("64 at once/"+who, func(b *testing.B) { atOnce(b, sync1[who]) })
	}
	for _, who := range []string{"client", "ours"} {
		b.Run("batch/"+who, func(b *testing.B) {
			b.ReportAllocs()
			for left := b.N; left > 0; left -= batchSize {
				must(b, batches[who](min(left, batchSize)))
			}
		})
	}
}

func atOnce(b *testing.B, publish func() error) {
	b.ReportAllocs()
	var publishers sync.WaitGroup
	for p := range 64 {
		publishers.Go(func() {
			for range (b.N + p) / 64 {
				if err := publish(); err != nil {
					b.Error(err)
				}
			}
		})
	}
	publishers.Wait()
}

// produceAll waits for n records, as PublishBatch does.
func produceAll(ctx context.Context, client *kgo.Client, n int, raw func() *kgo.Record) error {
	errs := make(chan error, n)
	for range n {
		client.Produce(ctx, raw(), func(_ *kgo.Record, err error) { errs <- err })
	}
	var first error
	for range n {
		if err := <-errs; err != nil {
			first = err
		}
	}
	return first
}

func firstOf(errs []error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
