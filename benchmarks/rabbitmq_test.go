package benchmarks

import (
	"errors"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	rabbitmqbroker "github.com/micro-event/micro-event/runtime/broker/rabbitmq"
)

// BenchmarkRabbitMQ publishes to a quorum queue, which is emptied at the end.
func BenchmarkRabbitMQ(b *testing.B) {
	url, topic := server(b, "MICRO_EVENT_RABBITMQ"), topic()
	br := connect(b, rabbitmqbroker.New(url))
	must(b, br.DeclareQueue(b.Context(), topic, "q"))
	conn, err := amqp.Dial(url)
	must(b, err)
	b.Cleanup(func() {
		if err := conn.Close(); err != nil {
			b.Error(err)
		}
	})
	channel, err := conn.Channel()
	must(b, err)
	must(b, channel.Confirm(false))
	b.Cleanup(func() {
		if _, err := channel.QueueDelete("q@"+topic, false, false, false); err != nil {
			b.Error(err)
		}
	})
	send := func() (*amqp.DeferredConfirmation, error) {
		return channel.PublishWithDeferredConfirm(rabbitmqbroker.DefaultExchange, topic, true, false, rabbitMessage())
	}
	confirmed := func(c *amqp.DeferredConfirmation) error {
		if !c.Wait() {
			return errors.New("not confirmed")
		}
		return nil
	}

	sync, async := ours(b, br, topic)
	raw := each("raw", func() error {
		c, err := send()
		if err != nil {
			return err
		}
		return confirmed(c)
	})
	b.Run("sync-1", func(b *testing.B) { measure(b, 1, raw, sync) })
	b.Run("sync-64", func(b *testing.B) { measure(b, 64, raw, sync) })
	b.Run("async", func(b *testing.B) {
		measure(b, 1, side{"raw", func(n int) error {
			sent := make([]*amqp.DeferredConfirmation, n)
			for i := range sent {
				c, err := send()
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
		}}, async)
	})
}

func rabbitMessage() amqp.Publishing {
	headers := amqp.Table{"cloudEvents:specversion": "1.0", "micro-key": key}
	for name, value := range attributes {
		headers["cloudEvents:"+name] = value
	}
	return amqp.Publishing{DeliveryMode: amqp.Persistent, ContentType: contentType, Headers: headers, Body: body}
}
