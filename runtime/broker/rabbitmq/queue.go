package rabbitmqbroker

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"

	amqp "github.com/rabbitmq/amqp091-go"
)

// queueOf returns the name of a queue of a topic.
func queueOf(topic, queue string) string {
	name := queue + "@" + topic
	if len(name) <= maxNameBytes {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	hash := "#" + hex.EncodeToString(sum[:16])
	return name[:maxNameBytes-len(hash)] + hash
}

// Declare implements [broker.Driver].
func (d *driver) Declare(ctx context.Context, topic, queue string) error {
	s, err := d.link.Await(ctx)
	if err != nil {
		return err
	}
	return d.declare(ctx, topic, queueOf(topic, queue), quorumQueue(s.publishing))
}

// quorumQueue are the arguments of a queue. Since version 4 the server drops what
// came back 20 times, unless it is told otherwise.
func quorumQueue(c *connection) amqp.Table {
	args := amqp.Table{amqp.QueueTypeArg: amqp.QueueTypeQuorum}
	if version, ok := c.Properties["version"].(string); ok && !strings.HasPrefix(version, "3.") {
		args["x-delivery-limit"] = int64(-1)
	}
	return args
}

// ownQueue are the arguments of a queue of a subscription without one.
func (d *driver) ownQueue() amqp.Table {
	return amqp.Table{amqp.QueueTTLArg: d.config.inactive.Milliseconds()}
}

// declare makes a queue and binds it to the topic. One that exists with other
// arguments is used as it is.
func (d *driver) declare(ctx context.Context, topic, name string, args amqp.Table) error {
	d.queues.Lock()
	defer d.queues.Unlock()
	err := d.withChannel(ctx, func(c *amqp.Channel) error {
		_, err := c.QueueDeclare(name, true, false, false, false, args)
		return err
	})
	if refusal, ok := errors.AsType[*amqp.Error](err); ok && refusal.Code == amqp.PreconditionFailed {
		err = d.withChannel(ctx, func(c *amqp.Channel) error {
			_, err := c.QueueDeclarePassive(name, true, false, false, false, nil)
			return err
		})
	}
	if err != nil {
		return err
	}
	return d.withChannel(ctx, func(c *amqp.Channel) error {
		return c.QueueBind(name, topic, d.config.exchange, false, nil)
	})
}

// withChannel calls do with a channel of its own, which an error of the server
// closes. It waits for the connection, and begins anew when that breaks, as long as
// ctx lives.
func (d *driver) withChannel(ctx context.Context, do func(*amqp.Channel) error) error {
	for {
		s, err := d.link.Await(ctx)
		if err != nil {
			return err
		}
		err = s.ask(ctx, func() error {
			c, err := s.consuming.Channel()
			if err != nil {
				return err
			}
			defer end(c)
			return do(c)
		})
		if err == nil || !s.isGone() {
			return err
		}
	}
}
