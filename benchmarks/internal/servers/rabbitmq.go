package servers

import (
	"context"
	"errors"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	watermillamqp "github.com/ThreeDotsLabs/watermill-amqp/v3/pkg/amqp"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/micro-event/micro-event/runtime/broker"
	rabbitmqbroker "github.com/micro-event/micro-event/runtime/broker/rabbitmq"

	"github.com/micro-event/micro-event/benchmarks/internal/measure"
	"github.com/micro-event/micro-event/benchmarks/internal/sample"
)

// rabbitTarget has a quorum queue for each topic.
type rabbitTarget struct {
	url      string
	declarer *broker.Engine
	channel  *amqp.Channel // confirms
	admin    *amqp.Channel
}

func newRabbitMQ(url string) target { return &rabbitTarget{url: url} }

func (t *rabbitTarget) engine() *broker.Engine { return rabbitmqbroker.New(t.url) }

func (t *rabbitTarget) open(ctx context.Context, b *measure.Bench) (err error) {
	if t.declarer, err = connect(ctx, b, t.engine()); err != nil {
		return err
	}
	conn, err := amqp.Dial(t.url)
	if err != nil {
		return err
	}
	b.Cleanup(conn.Close)
	if t.channel, err = conn.Channel(); err != nil {
		return err
	}
	if t.admin, err = conn.Channel(); err != nil {
		return err
	}
	return t.channel.Confirm(false)
}

func rabbitQueue(topic string) string { return "billing@" + topic }

func (t *rabbitTarget) declare(ctx context.Context, topic string) error {
	return t.declarer.DeclareQueue(ctx, topic, "billing")
}

// taken empties the queue. What was just confirmed may not be ready to be counted yet.
func (t *rabbitTarget) taken(ctx context.Context, topic string, want int) (int, error) {
	all := 0
	for tries := 0; all < want && tries < 50; tries++ {
		n, err := t.admin.QueuePurge(rabbitQueue(topic), false)
		if err != nil {
			return all, err
		}
		if all += n; all < want {
			select {
			case <-time.After(10 * time.Millisecond):
			case <-ctx.Done():
				return all, ctx.Err()
			}
		}
	}
	return all, nil
}

func (t *rabbitTarget) publish(topic string) (*amqp.DeferredConfirmation, error) {
	data, err := body()
	if err != nil {
		return nil, err
	}
	table := amqp.Table{"cloudEvents:specversion": "1.0", "micro-key": sample.Key}
	for _, a := range attributes {
		table["cloudEvents:"+a.Name] = a.Value
	}
	for _, h := range headers[len(attributes):] {
		table[h.Name] = h.Value
	}
	m := amqp.Publishing{DeliveryMode: amqp.Persistent, ContentType: sample.ContentType, Headers: table, Body: data}
	return t.channel.PublishWithDeferredConfirm(rabbitmqbroker.DefaultExchange, topic, true, false, m)
}

func confirmed(c *amqp.DeferredConfirmation) error {
	if !c.Wait() {
		return errors.New("not confirmed")
	}
	return nil
}

func (t *rabbitTarget) send(_ context.Context, topic string) error {
	c, err := t.publish(topic)
	if err != nil {
		return err
	}
	return confirmed(c)
}

func (t *rabbitTarget) sendAll(_ context.Context, topic string, n int) error {
	sent := make([]*amqp.DeferredConfirmation, n)
	for i := range sent {
		c, err := t.publish(topic)
		if err != nil {
			return err
		}
		sent[i] = c
	}
	var errs []error
	for _, c := range sent {
		errs = append(errs, confirmed(c))
	}
	return errors.Join(errs...)
}

// watermill publishes straight to the queue.
func (t *rabbitTarget) watermill(b *measure.Bench, topic string) (func() error, error) {
	config := watermillamqp.NewDurableQueueConfig(t.url)
	config.Publish.ConfirmDelivery = true
	p, err := watermillamqp.NewPublisher(config, watermill.NopLogger{})
	if err != nil {
		return nil, err
	}
	return publisher(b, rabbitQueue(topic), p), nil
}

// stream acknowledges each message and takes as many ahead as ours with Concurrency(64).
func (t *rabbitTarget) stream(_ context.Context, b *measure.Bench, topic string, handle func([]byte) error) error {
	conn, err := amqp.Dial(t.url)
	if err != nil {
		return err
	}
	channel, err := conn.Channel()
	if err != nil {
		return err
	}
	if err := channel.Qos(64, 0, false); err != nil {
		return err
	}
	deliveries, err := channel.Consume(rabbitQueue(topic), "", false, false, false, false, nil)
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() {
		var failed error
		for d := range deliveries {
			failed = errors.Join(failed, handle(d.Body), d.Ack(false))
		}
		ended <- failed
	}()
	b.Cleanup(func() error { return errors.Join(conn.Close(), <-ended) })
	return nil
}
