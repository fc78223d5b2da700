package event

import (
	"context"
	"fmt"

	"github.com/micro-event/micro-event/runtime/broker"
)

// TopicOption is an option of clients and of servers.
type TopicOption interface {
	ClientOption
	ServerOption
}

// TopicPrefix puts prefix in front of all topics, so that environments share a
// broker: with "staging." the topic "shop.orders" becomes "staging.shop.orders".
// Give it to clients and servers alike. See [MapTopics].
func TopicPrefix(prefix string) TopicOption {
	return MapTopics(func(topic string) string { return prefix + topic })
}

// MapTopics replaces the topics of the schema, of [WithTopic] and [Topic], and of
// dead letters by what mapping returns. It is called concurrently and returns
// the same for the same topic. Queues keep their names: each topic has its own.
// The last one counts. Default: topics stay as they are.
func MapTopics(mapping func(topic string) string) TopicOption { return topicMapping(mapping) }

type topicMapping func(string) string

func (f topicMapping) applyClient(o *clientOptions) { o.mapTopic = f }
func (f topicMapping) applyServer(o *serverOptions) { o.mapTopic = f }

// of returns what topic is mapped to.
func (f topicMapping) of(topic string) string {
	if f == nil {
		return topic
	}
	return f(topic)
}

// WithTopic returns a context in which events are published to topic instead of
// the one in their schema, before any [MapTopics]. Use it for one event only.
// Receivers subscribe with [Topic].
func WithTopic(ctx context.Context, topic string) context.Context {
	err := broker.CheckTopic(topic)
	if err != nil {
		err = fmt.Errorf("topic of the context: %w", err)
	}
	return withOutgoing(ctx, outgoingTopic, topic, err)
}

// destination returns s with the topic that the broker will see.
func (c *sender) destination(s *Spec, o *outgoing) *Spec {
	topic := c.options.mapTopic.of(o.topicOr(s.Topic))
	if topic == s.Topic {
		return s
	}
	there := *s
	there.Topic = topic
	return &there
}
