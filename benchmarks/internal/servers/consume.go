package servers

import (
	"context"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	ordersv1 "github.com/micro-event/micro-event/examples/gen/shop/orders/v1"
	"github.com/micro-event/micro-event/runtime/broker"
	"github.com/micro-event/micro-event/runtime/event"

	"github.com/micro-event/micro-event/benchmarks/internal/measure"
)

const second = time.Second

// streamer is a target whose bare client is measured as a consumer.
type streamer interface {
	target
	batcher
	// stream calls handle for each message of a topic, one after the other, and
	// acknowledges those that it returns nil for, until the bench is closed.
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
		Name: name, Most: 1 << 16, Delivered: c.counter.Wait,
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
	raw, records := c.topic("raw-in"), c.topic("records-in")
	prefix := c.base + "-in."
	typed := prefix + ordersv1.OrderCreatedTopic
	for _, topic := range []string{raw, records, typed} {
		if err := c.declare(ctx, topic); err != nil {
			return err
		}
	}
	consumers := make([]*consumer, 3)
	for i := range consumers {
		consumers[i] = &consumer{counter: measure.NewCounter()}
	}
	if err := s.stream(ctx, b, raw, consumers[0].handle); err != nil {
		return err
	}
	_, err := c.engine.SubscribeRecords(ctx, records, func(_ context.Context, d *broker.RecordDelivery) error {
		return consumers[1].handle(d.Record.Body)
	}, broker.Queue("billing"))
	if err != nil {
		return err
	}
	server := event.NewServer(c.engine, "billing", event.TopicPrefix(prefix))
	err = ordersv1.SubscribeOrderCreated(server, func(context.Context, *ordersv1.OrderCreated) error {
		consumers[2].count()
		return nil
	})
	if err != nil {
		return err
	}
	if err := server.Start(ctx); err != nil {
		return err
	}
	b.Cleanup(func() error { return server.Stop(context.Background()) })
	return b.Compare(ctx, measure.Comparison{
		Group: group, Name: "consume", Until: measure.Handled,
		Sides: []measure.Side{
			consumers[0].side("bare client", raw, s),
			consumers[1].side("micro-event, Broker only", records, s),
			consumers[2].side("micro-event", typed, s),
		},
	})
}
