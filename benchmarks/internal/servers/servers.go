// Package servers compares publishing to the brokers that are servers: the bare client,
// the broker of this repository, its typed API, and Watermill's adapter where there is
// one. All sides send the same headers and body and wait for the same confirmation, each
// to a topic of its own, and the server is asked how many messages it has.
//
// Addresses come from the environment, as scripts/services prints them.
package servers

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"google.golang.org/protobuf/proto"

	ordersv1 "github.com/micro-event/micro-event/examples/gen/shop/orders/v1"
	"github.com/micro-event/micro-event/runtime/broker"
	"github.com/micro-event/micro-event/runtime/event"

	"github.com/micro-event/micro-event/benchmarks/internal/measure"
	"github.com/micro-event/micro-event/benchmarks/internal/sample"
)

// target is a server and its clients.
type target interface {
	// engine is the broker of this repository, not connected yet.
	engine() *broker.Engine
	// open connects the bare client. Cleanups go to b.
	open(ctx context.Context, b *measure.Bench) error
	// declare makes the server keep what is published to a topic.
	declare(ctx context.Context, topic string) error
	// taken returns how many of want messages the server has taken from a topic since it
	// was last asked, and lets it forget them.
	taken(ctx context.Context, topic string, want int) (int, error)
	// send publishes one event with the bare client.
	send(ctx context.Context, topic string) error
}

// batcher is a target whose bare client can have many messages on their way.
type batcher interface {
	sendAll(ctx context.Context, topic string, n int) error
}

// peered is a target for which Watermill has an adapter.
type peered interface {
	watermill(b *measure.Bench, topic string) (publish func() error, err error)
}

// servers are all there are, by the variable that has their address.
var servers = []struct {
	group, variable string
	at              func(address string) target
}{
	{"NATS JetStream", "MICRO_EVENT_NATS", newNATS},
	{"Kafka", "MICRO_EVENT_KAFKA", newKafka},
	{"RabbitMQ", "MICRO_EVENT_RABBITMQ", newRabbitMQ},
	{"Redis Streams", "MICRO_EVENT_REDIS", newRedis},
	{"MQTT", "MICRO_EVENT_MQTT", newMQTT},
}

// Run compares on all servers whose address is known. Of the others the results say so.
func Run(ctx context.Context, b *measure.Bench) error {
	for _, s := range servers {
		address := os.Getenv(s.variable)
		if address == "" {
			b.Results = append(b.Results, void(s.group, s.variable+" is not set (scripts/services up prints it)"))
			continue
		}
		if err := errors.Join(compare(ctx, b, s.group, s.at(address)), b.Close()); err != nil {
			if ctx.Err() != nil {
				return err
			}
			b.Results = append(b.Results, void(s.group, err.Error()))
		}
	}
	return nil
}

// void says of a whole server why there is nothing to say.
func void(group, why string) measure.Result {
	return measure.Result{Group: group, Name: "not measured", Rows: []measure.Row{{Side: "all", Void: why}}}
}

// compare runs the comparisons of one server.
func compare(ctx context.Context, b *measure.Bench, group string, t target) error {
	if err := t.open(ctx, b); err != nil {
		return err
	}
	engine, err := connect(ctx, b, t.engine())
	if err != nil {
		return err
	}
	c := &candidates{target: t, engine: engine, base: "bench-" + strings.ToLower(rand.Text()[:8])}
	single, err := c.single(ctx, b)
	if err != nil {
		return err
	}
	for _, callers := range []int{1, 64} {
		if err := b.Compare(ctx, measure.Comparison{Group: group, Name: measure.NameOfCallers(callers), Callers: callers, Sides: single}); err != nil {
			return err
		}
	}
	if batch, ok := t.(batcher); ok {
		if err := b.Compare(ctx, measure.Comparison{Group: group, Name: "in one go", Sides: c.inOneGo(batch)}); err != nil {
			return err
		}
	}
	if s, ok := t.(streamer); ok {
		return consume(ctx, b, group, c, s)
	}
	return nil
}

// connect connects a broker of this repository until the bench is closed.
func connect(ctx context.Context, b *measure.Bench, e *broker.Engine) (*broker.Engine, error) {
	if err := e.Init(broker.WithLogger(slog.New(slog.DiscardHandler))); err != nil {
		return nil, err
	}
	b.Cleanup(func() error {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		return e.Disconnect(ctx)
	})
	err := e.Connect(ctx)
	return e, err
}

// candidates make the sides of a target.
type candidates struct {
	target
	engine *broker.Engine
	base   string // of the topics
}

// topic returns that of a side, with as many segments as that of the typed API.
func (c *candidates) topic(side string) string { return c.base + ".shop.orders." + side }

// typedTopic is where the typed API publishes, with the prefix.
func (c *candidates) typedTopic() string { return c.base + "." + ordersv1.OrderCreatedTopic }

// delivered asks the server.
func (c *candidates) delivered(topic string) func(context.Context, int) (int, error) {
	return func(ctx context.Context, want int) (int, error) { return c.taken(ctx, topic, want) }
}

// single are the sides that publish one event after the other.
func (c *candidates) single(ctx context.Context, b *measure.Bench) ([]measure.Side, error) {
	raw, records := c.topic("raw"), c.topic("records")
	for _, topic := range []string{raw, records, c.typedTopic()} {
		if err := c.declare(ctx, topic); err != nil {
			return nil, err
		}
	}
	client := event.NewClient(c.engine, "shop", event.TopicPrefix(c.base+"."))
	order := sample.Order()
	sides := []measure.Side{
		{Name: "bare client", Delivered: c.delivered(raw), Each: func(ctx context.Context) error { return c.send(ctx, raw) }},
		{Name: "micro-event, Broker only", Delivered: c.delivered(records), Each: func(ctx context.Context) error {
			r, err := record()
			if err != nil {
				return err
			}
			return c.engine.PublishRecord(ctx, records, r)
		}},
		{Name: "micro-event", Delivered: c.delivered(c.typedTopic()), Each: func(ctx context.Context) error {
			return ordersv1.PublishOrderCreated(ctx, client, order)
		}},
	}
	p, ok := c.target.(peered)
	if !ok {
		return sides, nil
	}
	topic := c.topic("watermill")
	if err := c.declare(ctx, topic); err != nil {
		return nil, err
	}
	publish, err := p.watermill(b, topic)
	if err != nil {
		return nil, err
	}
	return append(sides, measure.Side{
		Name: "Watermill", Note: "has no publish that does not wait for each confirmation", Delivered: c.delivered(topic), Each: func(context.Context) error { return publish() },
	}), nil
}

// chunk is how many messages go to a broker in one go.
const chunk = 1024

// inChunks calls publish until n are published.
func inChunks(n int, publish func(n int) error) error {
	for ; n > 0; n -= chunk {
		if err := publish(min(n, chunk)); err != nil {
			return err
		}
	}
	return nil
}

// inOneGo are the sides that have many events on their way. Watermill's publishers wait
// for each.
func (c *candidates) inOneGo(batch batcher) []measure.Side {
	raw, records := c.topic("raw"), c.topic("records")
	order := sample.Order()
	async := event.NewAsyncClient(event.NewClient(c.engine, "shop", event.TopicPrefix(c.base+".")))
	all := make([]*broker.Record, chunk)
	return []measure.Side{
		{Name: "bare client", Most: most, Delivered: c.delivered(raw), All: func(ctx context.Context, n int) error {
			return inChunks(n, func(n int) error { return batch.sendAll(ctx, raw, n) })
		}},
		{Name: "micro-event, Broker only", Most: most, Delivered: c.delivered(records), All: func(ctx context.Context, n int) error {
			return inChunks(n, func(n int) error {
				for i := range n {
					var err error
					if all[i], err = record(); err != nil {
						return err
					}
				}
				return errors.Join(c.engine.PublishRecords(ctx, records, all[:n])...)
			})
		}},
		{Name: "micro-event", Note: "AsyncClient", Most: most, Delivered: c.delivered(c.typedTopic()), All: func(ctx context.Context, n int) error {
			for range n {
				if err := ordersv1.PublishOrderCreated(ctx, async, order); err != nil {
					return err
				}
			}
			return async.Flush(ctx)
		}},
	}
}

// most is how many messages a turn leaves on a server.
const most = 1 << 16

// body encodes the event, as each call of a bare client does.
func body() ([]byte, error) { return proto.Marshal(order) }

// record returns the event as the broker takes it, encoded for each call. The headers
// are shared: a broker keeps nothing of them.
func record() (*broker.Record, error) {
	b, err := body()
	return &broker.Record{Key: sample.Key, Header: fields, Body: b}, err
}

// Read only.
var (
	fields     = sample.Record().Header
	order      = sample.Order()
	attributes = sample.Attributes()
	headers    = sample.Headers()
)

// watermillMessage returns a message with as many headers as the other sides send.
func watermillMessage() (*message.Message, error) {
	b, err := body()
	if err != nil {
		return nil, err
	}
	m := message.NewMessage(watermill.NewUUID(), b)
	m.Metadata = sample.HeaderMap()
	m.Metadata.Set("ce-specversion", "1.0")
	return m, nil
}

// publisher returns what publishes one message through Watermill.
func publisher(b *measure.Bench, topic string, p message.Publisher) func() error {
	b.Cleanup(p.Close)
	return func() error {
		m, err := watermillMessage()
		if err != nil {
			return err
		}
		return p.Publish(topic, m)
	}
}
