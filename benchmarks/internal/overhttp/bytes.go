package overhttp

import (
	"context"
	"errors"
	"io"

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
	shared, err := sharedBytes(ctx, b)
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
		c := measure.Comparison{Group: Bytes, Name: measure.NameOfCallers(n), Callers: n, Sides: []measure.Side{bare, shared, free, keyed}}
		if err := b.Compare(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// bareBytes is bare without encoding and decoding.
func bareBytes(ctx context.Context, b *measure.Bench) (measure.Side, error) {
	counter, body := measure.NewCounter(), sample.Body()
	return posts(ctx, b, counter, func() ([]byte, error) { return body, nil }, func(r io.Reader) error {
		if _, err := io.Copy(io.Discard, r); err != nil {
			return err
		}
		counter.Add()
		return nil
	})
}

// brokerBytes is records without encoding and decoding.
func brokerBytes(ctx context.Context, b *measure.Bench, name string, key func() string) (measure.Side, error) {
	counter, body := measure.NewCounter(), sample.Body()
	return published(ctx, b, name, counter, func() (*broker.Record, error) {
		return &broker.Record{Key: key(), Body: body}, nil
	}, func(body []byte) error { return count(counter, body) })
}

// sharedBytes is sharedTCP without encoding and decoding.
func sharedBytes(ctx context.Context, b *measure.Bench) (measure.Side, error) {
	counter, body := measure.NewCounter(), sample.Body()
	return sharedTCP(ctx, b, counter, func() ([]byte, error) { return body, nil }, func(body []byte) error { return count(counter, body) })
}

// count is handle without decoding.
func count(counter *measure.Counter, body []byte) error {
	if len(body) == 0 {
		return errors.New("the body is empty")
	}
	counter.Add()
	return nil
}
