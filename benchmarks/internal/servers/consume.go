package servers

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"google.golang.org/protobuf/proto"

	ordersv1 "github.com/micro-event/micro-event/examples/gen/shop/orders/v1"
	"github.com/micro-event/micro-event/runtime/broker"
	"github.com/micro-event/micro-event/runtime/event"

	"github.com/micro-event/micro-event/benchmarks/internal/measure"
)

// streamer is a target whose bare client is measured as a consumer.
type streamer interface {
	target
	batcher
	// stream calls handle for each message of a topic, one after the other, and
	// acknowledges it, until the bench is closed, which tells of what failed.
	stream(ctx context.Context, b *measure.Bench, topic string, handle func(body []byte) error) error
}

// consumer handles what waits in a topic. Its handler stands still while the topic is
// filled, so that the fill is not measured and the first messages are with the client.
type consumer struct {
	gate    sync.RWMutex
	counter *measure.Counter
}

func (c *consumer) count() {
	c.gate.RLock()
	defer c.gate.RUnlock()
	c.counter.Add()
}

// handle decodes a body.
func (c *consumer) handle(body []byte) error {
	if err := proto.Unmarshal(body, new(ordersv1.OrderCreated)); err != nil {
		return err
	}
	c.count()
	return nil
}

// side fills the topic by the bare client.
func (c *consumer) side(name, topic string, s streamer) measure.Side {
	return measure.Side{
		Name: name, Most: most, Delivered: c.counter.Wait,
		Prepare: func(ctx context.Context, n int) error {
			if _, err := s.taken(ctx, topic, 0); err != nil { // forget what was handled
				return err
			}
			c.gate.Lock()
			err := s.sendAll(ctx, topic, n)
			if err != nil {
				c.gate.Unlock()
			}
			return err
		},
		All: func(context.Context, int) error {
			c.gate.Unlock()
			return nil
		},
	}
}

// consume compares handlers that find their messages waiting.
func consume(ctx context.Context, b *measure.Bench, group string, c *candidates, s streamer) error {
	raw := c.topic("raw-in")
	if err := c.declare(ctx, raw); err != nil {
		return err
	}
	bare := newConsumer()
	if err := s.stream(ctx, b, raw, bare.handle); err != nil {
		return err
	}
	sides := []measure.Side{bare.side("bare client", raw, s)}
	sides[0].Note = "takes 64 messages ahead, or what its library has as default; one handler at a time"
	for _, in := range []intake{{concurrency: 1}, {concurrency: 1, prefetch: 64}, {concurrency: 64}} {
		records, err := c.records(ctx, in, s)
		if err != nil {
			return err
		}
		typed, err := c.typed(ctx, b, in, s)
		if err != nil {
			return err
		}
		sides = append(sides, records, typed)
	}
	return b.Compare(ctx, measure.Comparison{Group: group, Name: "consume", Until: measure.Handled, Sides: sides})
}

func newConsumer() *consumer { return &consumer{counter: measure.NewCounter()} }

// intake is how many messages are handled at a time, and taken ahead.
type intake struct{ concurrency, prefetch int }

func (i intake) slug() string { return fmt.Sprintf("in-%d-%d", i.concurrency, i.prefetch) }

// options names the options, with the name of the one for concurrency.
func (i intake) options(concurrency string) string {
	text := fmt.Sprintf("%s(%d)", concurrency, i.concurrency)
	if i.prefetch > 0 {
		text += fmt.Sprintf(", Prefetch(%d)", i.prefetch)
	}
	return text
}

// records handles messages with the broker alone.
func (c *candidates) records(ctx context.Context, i intake, s streamer) (measure.Side, error) {
	topic, in := c.topic("records-"+i.slug()), newConsumer()
	if err := c.declare(ctx, topic); err != nil {
		return measure.Side{}, err
	}
	_, err := c.engine.SubscribeRecords(ctx, topic, func(_ context.Context, d *broker.RecordDelivery) error {
		return in.handle(d.Record.Body)
	}, broker.Queue("billing"), broker.MaxInFlight(i.concurrency), broker.Prefetch(i.prefetch))
	return in.side("micro-event, Broker only, "+i.options("MaxInFlight"), topic, s), err
}

// typed handles events.
func (c *candidates) typed(ctx context.Context, b *measure.Bench, i intake, s streamer) (measure.Side, error) {
	prefix := c.base + "-" + i.slug() + "."
	topic, in := prefix+ordersv1.OrderCreatedTopic, newConsumer()
	if err := c.declare(ctx, topic); err != nil {
		return measure.Side{}, err
	}
	server := event.NewServer(c.engine, "billing", event.TopicPrefix(prefix))
	opts := []event.SubscribeOption{event.Concurrency(i.concurrency)}
	if i.prefetch > 0 {
		opts = append(opts, event.Prefetch(i.prefetch))
	}
	err := ordersv1.SubscribeOrderCreated(server, func(context.Context, *ordersv1.OrderCreated) error {
		in.count()
		return nil
	}, opts...)
	if err := errors.Join(err, server.Start(ctx)); err != nil {
		return measure.Side{}, err
	}
	b.Cleanup(func() error { return server.Stop(context.Background()) })
	return in.side("micro-event, "+i.options("Concurrency"), topic, s), nil
}
