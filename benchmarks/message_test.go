package benchmarks

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/micro-event/micro-event/runtime/broker"
)

// key is that of all messages: they are in order.
const key = "order-1"

var body = make([]byte, 200)

// attributes are those of an event.
var attributes = map[string]string{
	"id": "0198c5f0-7d0c-7000-8000-000000000000", "type": "shop.orders.v1.OrderCreated",
	"source": "shop/orders", "time": "2026-01-02T03:04:05.678Z",
}

const contentType = "application/protobuf"

// header returns them as headers of this repository.
func header() []broker.Field {
	fields := []broker.Field{{Name: "content-type", Value: contentType}}
	for name, value := range attributes {
		fields = append(fields, broker.Field{Name: "ce-" + name, Value: value})
	}
	return fields
}

// watermillMessage returns a message with as many headers as the other sides send.
func watermillMessage() *message.Message {
	m := message.NewMessage(attributes["id"], body)
	for name, value := range attributes {
		m.Metadata.Set("ce-"+name, value)
	}
	m.Metadata.Set("content-type", contentType)
	m.Metadata.Set("ce-specversion", "1.0")
	return m
}

// topic returns one that the server has not seen.
func topic() string { return "bench." + strings.ToLower(rand.Text()[:10]) }

// connect connects a broker of this repository for the time of the benchmark.
func connect(b *testing.B, br *broker.Engine) *broker.Engine {
	b.Helper()
	must(b, br.Init(broker.WithLogger(slog.New(slog.DiscardHandler))))
	must(b, br.Connect(b.Context()))
	b.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := br.Disconnect(ctx); err != nil {
			b.Error(err)
		}
	})
	return br
}

// ours are the sides of this repository: one message after the other, and in one
// go.
func ours(b *testing.B, br *broker.Engine, topic string) (sync, async side) {
	r := &broker.Record{Key: key, Header: header(), Body: body}
	batch := make([]*broker.Record, round)
	for i := range batch {
		batch[i] = r
	}
	return each("ours", func() error { return br.PublishRecord(b.Context(), topic, r) }),
		side{"ours", func(n int) error { return errors.Join(br.PublishRecords(b.Context(), topic, batch[:n])...) }}
}
