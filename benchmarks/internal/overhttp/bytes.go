package overhttp

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"sync/atomic"

	"github.com/micro-event/micro-event/runtime/broker"

	"github.com/micro-event/micro-event/benchmarks/internal/measure"
	"github.com/micro-event/micro-event/benchmarks/internal/sample"
)

// Bytes is the group that leaves encoding and decoding out: what a broker costs beside a
// bare POST, for bytes that it knows nothing of.
const Bytes = "HTTP, bytes"

// runBytes compares them.
func runBytes(ctx context.Context, b *measure.Bench) error {
	bare, err := bareBytes(ctx, b)
	if err != nil {
		return err
	}
	free, err := brokerBytes(ctx, b, "micro-event, no key", func() string { return "" })
	if err != nil {
		return err
	}
	keyed, err := brokerBytes(ctx, b, "micro-event, 1,000 keys", func() string { return order().GetOrderId() })
	if err != nil {
		return err
	}
	for _, n := range callers {
		c := measure.Comparison{Group: Bytes, Name: measure.NameOfCallers(n), Callers: n, Sides: []measure.Side{bare, free, keyed}}
		if err := b.Compare(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// bareBytes is bare without encoding and decoding.
func bareBytes(ctx context.Context, b *measure.Bench) (measure.Side, error) {
	counter := measure.NewCounter()
	url, err := serve(ctx, b, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		counter.Add()
	}))
	if err != nil {
		return measure.Side{}, err
	}
	client, body := client(b), sample.Body()
	return measure.Side{Name: "net/http", Note: "one POST for each event", Delivered: counter.Wait, Each: func(ctx context.Context) error {
		return Post(ctx, client, url, body)
	}}, nil
}

// brokerBytes publishes the same bytes, with the headers of an event and a new id.
func brokerBytes(ctx context.Context, b *measure.Bench, name string, key func() string) (measure.Side, error) {
	publisher, subscriber, err := Pair(ctx, b)
	if err != nil {
		return measure.Side{}, err
	}
	counter := measure.NewCounter()
	_, err = subscriber.SubscribeRecords(ctx, "orders", func(_ context.Context, d *broker.RecordDelivery) error {
		if len(d.Record.Body) == 0 {
			return errors.New("the body is empty")
		}
		counter.Add()
		return nil
	}, broker.Queue("billing"))
	if err != nil {
		return measure.Side{}, err
	}
	event := newEvents()
	body := sample.Body()
	return measure.Side{Name: name, Delivered: counter.Wait, Each: func(ctx context.Context) error {
		return publisher.PublishRecord(ctx, "orders", &broker.Record{Key: key(), Header: event.header(), Body: body})
	}}, nil
}

// events are headers of events that differ in their id.
type events struct {
	last     atomic.Int64
	template []broker.Field
}

func newEvents() *events { return &events{template: sample.Record().Header} }

func (e *events) header() []broker.Field {
	header := append(make([]broker.Field, 0, len(e.template)), e.template...)
	header[0].Value = "0198c5f0-7d0c-7000-8000-" + strconv.FormatInt(1<<40+e.last.Add(1), 16)
	return header
}
