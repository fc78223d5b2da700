package natsbroker_test

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/micro-event/micro-event/runtime/broker"
	natsbroker "github.com/micro-event/micro-event/runtime/broker/nats"
)

// BenchmarkOverhead publishes the same message through the bare client and
// through this package, in turn within one run, so that what else the machine
// does hits both. The server, in the same process, is most of it. ns/op is that
// of a pair; raw-ns/op and ours-ns/op are its halves, ratio is ours to raw.
func BenchmarkOverhead(b *testing.B) {
	b.Run("sync-1", func(b *testing.B) { overhead(b, 1, rawSync, oursSync) })
	b.Run("sync-64", func(b *testing.B) { overhead(b, 64, rawSync, oursSync) })
	b.Run("async", func(b *testing.B) { overhead(b, 1, rawAsync, oursAsync) })
}

// publishAll publishes n messages and returns when all were confirmed.
type publishAll func(b *testing.B, p *publishers, n int)

type publishers struct {
	js   jetstream.JetStream
	ours *broker.Engine
}

const round = 2048

func overhead(b *testing.B, callers int, raw, ours publishAll) {
	p := newPublishers(b)
	each := func(f publishAll) time.Duration {
		begin := time.Now()
		var wg sync.WaitGroup
		for range callers {
			wg.Go(func() { f(b, p, round/callers) })
		}
		wg.Wait()
		return time.Since(begin)
	}
	each(raw) // warm up
	each(ours)
	var spentRaw, spentOurs time.Duration
	rounds := 0
	for b.Loop() {
		if rounds%2 == 0 {
			spentRaw += each(raw)
			spentOurs += each(ours)
		} else {
			spentOurs += each(ours)
			spentRaw += each(raw)
		}
		rounds++
	}
	messages := float64(rounds * round)
	b.ReportMetric(float64(spentRaw)/messages, "raw-ns/msg")
	b.ReportMetric(float64(spentOurs)/messages, "ours-ns/msg")
	b.ReportMetric(float64(spentOurs)/float64(spentRaw), "ratio")
}

const benchTopic = "bench.orders"

func newPublishers(b *testing.B) *publishers {
	s := startServer(b)
	ours := natsbroker.New(s.url(), broker.WithLogger(slog.New(slog.DiscardHandler)))
	if err := ours.Connect(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := ours.Disconnect(context.Background()); err != nil {
			b.Log(err)
		}
	})
	conn, err := nats.Connect(s.url())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(conn.Close)
	js, err := jetstream.New(conn, jetstream.WithPublishAsyncMaxPending(natsbroker.DefaultPublishWindow))
	if err != nil {
		b.Fatal(err)
	}
	// Kept in memory and soon dropped, so that the disk does not hide the client.
	_, err = js.CreateStream(b.Context(), jetstream.StreamConfig{
		Name: "bench", Subjects: []string{benchTopic}, Storage: jetstream.MemoryStorage, MaxMsgs: 1000,
	})
	if err != nil {
		b.Fatal(err)
	}
	return &publishers{js, ours}
}

func rawMsg() *nats.Msg {
	return &nats.Msg{Subject: benchTopic, Data: make([]byte, 200), Header: nats.Header{
		"ce-specversion": {"1.0"}, "ce-partitionkey": {"order-1"},
		"ce-id": {"0198c5f0-7d0c-7000-8000-000000000000"}, "ce-type": {"shop.orders.v1.OrderCreated"},
		"ce-source": {"orders"}, "ce-time": {"2026-01-02T03:04:05.678Z"}, "content-type": {"application/protobuf"},
	}}
}

func ourRecord() *broker.Record {
	return &broker.Record{Key: "order-1", Body: make([]byte, 200), Header: []broker.Field{
		{Name: "ce-id", Value: "0198c5f0-7d0c-7000-8000-000000000000"},
		{Name: "ce-type", Value: "shop.orders.v1.OrderCreated"},
		{Name: "ce-source", Value: "orders"},
		{Name: "ce-time", Value: "2026-01-02T03:04:05.678Z"},
		{Name: "content-type", Value: "application/protobuf"},
	}}
}

func rawSync(b *testing.B, p *publishers, n int) {
	for range n {
		if _, err := p.js.PublishMsg(b.Context(), rawMsg()); err != nil {
			b.Error(err)
			return
		}
	}
}

func oursSync(b *testing.B, p *publishers, n int) {
	for range n {
		if err := p.ours.PublishRecord(b.Context(), benchTopic, ourRecord()); err != nil {
			b.Error(err)
			return
		}
	}
}

func rawAsync(b *testing.B, p *publishers, n int) {
	futures := make([]jetstream.PubAckFuture, n)
	for i := range futures {
		f, err := p.js.PublishMsgAsync(rawMsg(), jetstream.WithStallWait(time.Minute))
		if err != nil {
			b.Error(err)
			return
		}
		futures[i] = f
	}
	for _, f := range futures {
		select {
		case <-f.Ok():
		case err := <-f.Err():
			b.Error(err)
		}
	}
}

func oursAsync(b *testing.B, p *publishers, n int) {
	rs := make([]*broker.Record, n)
	for i := range rs {
		rs[i] = ourRecord()
	}
	for _, err := range p.ours.PublishRecords(b.Context(), benchTopic, rs) {
		if err != nil {
			b.Error(err)
		}
	}
}
