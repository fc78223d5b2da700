package main

import (
	"fmt"
	"net/url"

	"github.com/micro-event/micro-event/runtime/broker"
	httpbroker "github.com/micro-event/micro-event/runtime/broker/http"
	kafkabroker "github.com/micro-event/micro-event/runtime/broker/kafka"
	memorybroker "github.com/micro-event/micro-event/runtime/broker/memory"
	mqttbroker "github.com/micro-event/micro-event/runtime/broker/mqtt"
	natsbroker "github.com/micro-event/micro-event/runtime/broker/nats"
	rabbitmqbroker "github.com/micro-event/micro-event/runtime/broker/rabbitmq"
	redisbroker "github.com/micro-event/micro-event/runtime/broker/redis"
)

// open returns the broker that a URL names. It is all that a program has to know
// of brokers; yours links only those that it uses.
func open(address string) (*broker.Engine, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("broker: %w", err)
	}
	switch u.Scheme {
	case "memory":
		return memorybroker.New(), nil
	case "http":
		return openHTTP(u), nil
	case "nats", "tls":
		return natsbroker.New(address), nil
	case "nats-core":
		u.Scheme = "nats"
		return natsbroker.New(u.String(), natsbroker.Core()), nil
	case "kafka", "kafkas":
		return kafkabroker.New(address), nil
	case "mqtt", "mqtts":
		return mqttbroker.New(address, mqttbroker.ClientID("shop")), nil
	case "amqp", "amqps":
		return rabbitmqbroker.New(address), nil
	case "redis", "rediss":
		return redisbroker.New(address), nil
	}
	return nil, fmt.Errorf("broker %q: unknown scheme (known are memory, http, nats, tls, nats-core, kafka, kafkas, mqtt, mqtts, amqp, amqps, redis and rediss)", u.Redacted())
}

// openHTTP needs no server: http:// finds the other processes of this user on this
// machine, and http://host:port listens there.
func openHTTP(u *url.URL) *broker.Engine {
	if u.Host == "" {
		return httpbroker.New()
	}
	return httpbroker.New(httpbroker.Listen(u.Host))
}
