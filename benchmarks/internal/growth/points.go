package growth

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync/atomic"

	"github.com/micro-event/micro-event/runtime/broker"

	"github.com/micro-event/micro-event/benchmarks/internal/measure"
	"github.com/micro-event/micro-event/benchmarks/internal/overhttp"
	"github.com/micro-event/micro-event/benchmarks/internal/sample"
)

type opener = func(ctx context.Context, b *measure.Bench, at int) (measure.Side, error)

// numbered returns names, made once.
func numbered(format string, n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf(format, i)
	}
	return names
}

// count returns a handler that does nothing else.
func count(c *measure.Counter) broker.RecordHandler {
	return func(context.Context, *broker.RecordDelivery) error {
		c.Add()
		return nil
	}
}

// topics has a queue with a member on each topic, and publishes to one after the other.
func topics(open transport) opener {
	return func(ctx context.Context, b *measure.Bench, n int) (measure.Side, error) {
		publisher, subscriber, err := open(ctx, b)
		if err != nil {
			return measure.Side{}, err
		}
		counter, names := measure.NewCounter(), numbered("orders.t%d", n)
		for _, topic := range names {
			if _, err := subscriber.SubscribeRecords(ctx, topic, count(counter), broker.Queue("billing")); err != nil {
				return measure.Side{}, err
			}
		}
		var next atomic.Uint64
		record := keyless()
		return measure.Side{Delivered: counter.Wait, Each: func(ctx context.Context) error {
			return publisher.PublishRecord(ctx, names[next.Add(1)%uint64(n)], record)
		}}, nil
	}
}

// keyless is an event that is in no order with others.
func keyless() *broker.Record {
	r := sample.Record()
	r.Key = ""
	// Without an id it is not looked for among those that came before.
	r.Header = slices.DeleteFunc(r.Header, func(f broker.Field) bool { return f.Name == "ce-id" })
	return r
}

// subscribers has queues on one topic, of which each gets every message.
func subscribers(open transport) opener {
	return func(ctx context.Context, b *measure.Bench, n int) (measure.Side, error) {
		publisher, subscriber, err := open(ctx, b)
		if err != nil {
			return measure.Side{}, err
		}
		counter := measure.NewCounter()
		for _, queue := range numbered("q%d", n) {
			if _, err := subscriber.SubscribeRecords(ctx, "orders", count(counter), broker.Queue(queue)); err != nil {
				return measure.Side{}, err
			}
		}
		record := keyless()
		return measure.Side{Unit: n, Delivered: counter.Wait, All: func(ctx context.Context, deliveries int) error {
			for range deliveries / n {
				if err := publisher.PublishRecord(ctx, "orders", record); err != nil {
					return err
				}
			}
			return nil
		}}, nil
	}
}

// keys has a member that handles 64 messages at the same time, and so many keys.
func keys(open transport) opener {
	return func(ctx context.Context, b *measure.Bench, n int) (measure.Side, error) {
		publisher, subscriber, err := open(ctx, b)
		if err != nil {
			return measure.Side{}, err
		}
		counter := measure.NewCounter()
		_, err = subscriber.SubscribeRecords(ctx, "orders", count(counter), broker.Queue("billing"), broker.MaxInFlight(64))
		if err != nil {
			return measure.Side{}, err
		}
		records := make([]*broker.Record, n)
		for i, key := range numbered("order-%d", n) {
			records[i] = keyless()
			records[i].Key = key
		}
		var next atomic.Uint64
		return measure.Side{Delivered: counter.Wait, Each: func(ctx context.Context) error {
			return publisher.PublishRecord(ctx, "orders", records[next.Add(1)%uint64(n)])
		}}, nil
	}
}

// inFlight bounds the bytes that one turn publishes.
const inFlight = 64 << 20

// body publishes messages of n bytes.
func body(open transport) opener {
	return func(ctx context.Context, b *measure.Bench, n int) (measure.Side, error) {
		publisher, subscriber, err := open(ctx, b)
		if err != nil {
			return measure.Side{}, err
		}
		counter := measure.NewCounter()
		if _, err := subscriber.SubscribeRecords(ctx, "orders", count(counter), broker.Queue("billing")); err != nil {
			return measure.Side{}, err
		}
		record := keyless()
		record.Body = bytes.Repeat([]byte("x"), n)
		return measure.Side{Most: inFlight / n, Delivered: counter.Wait, Each: func(ctx context.Context) error {
			return publisher.PublishRecord(ctx, "orders", record)
		}}, nil
	}
}

// bare is what net/http needs for a body of n bytes.
func bare(_ context.Context, b *measure.Bench, n int) (measure.Side, error) {
	counter := measure.NewCounter()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := make([]byte, r.ContentLength)
		if _, err := io.ReadFull(r.Body, body); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		counter.Add()
	}))
	client := server.Client()
	b.Cleanup(func() error {
		server.Close()
		return nil
	})
	data := bytes.Repeat([]byte("x"), n)
	return measure.Side{Most: inFlight / n, Delivered: counter.Wait, Each: func(ctx context.Context) error {
		return overhttp.Post(ctx, client, server.URL, data)
	}}, nil
}
