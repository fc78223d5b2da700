// Brokertable writes what each broker guarantees into a document, between the
// lines
//
//	<!-- brokers: begin (make generate writes this) -->
//	<!-- brokers: end -->
//
// It asks the drivers, so that the table cannot say what they do not.
package main

import (
	"bytes"
	"fmt"
	"log"
	"os"
	"strings"

	"github.com/micro-event/micro-event/runtime/broker"
	httpbroker "github.com/micro-event/micro-event/runtime/broker/http"
	kafkabroker "github.com/micro-event/micro-event/runtime/broker/kafka"
	memorybroker "github.com/micro-event/micro-event/runtime/broker/memory"
	mqttbroker "github.com/micro-event/micro-event/runtime/broker/mqtt"
	natsbroker "github.com/micro-event/micro-event/runtime/broker/nats"
	rabbitmqbroker "github.com/micro-event/micro-event/runtime/broker/rabbitmq"
	redisbroker "github.com/micro-event/micro-event/runtime/broker/redis"
)

const (
	beginLine = "<!-- brokers: begin (make generate writes this) -->\n"
	endLine   = "<!-- brokers: end -->\n"
)

func main() {
	if len(os.Args) < 2 {
		log.Fatal("usage: brokertable FILE.md...")
	}
	for _, path := range os.Args[1:] {
		if err := rewrite(path); err != nil {
			log.Fatal(err)
		}
	}
}

// rewrite replaces the table in the file at path.
func rewrite(path string) error {
	old, err := os.ReadFile(path) //nolint:gosec // the path is a word of the Makefile
	if err != nil {
		return err
	}
	before, rest, begins := bytes.Cut(old, []byte(beginLine))
	_, after, ends := bytes.Cut(rest, []byte(endLine))
	if !begins || !ends {
		return fmt.Errorf("%s: it lacks the lines %q and %q", path, beginLine, endLine)
	}
	text := string(before) + beginLine + table(brokers()) + endLine + string(after)
	if text == string(old) {
		return nil
	}
	return os.WriteFile(path, []byte(text), 0o644) //nolint:gosec // a document of the repository
}

// column is a broker.
type column struct {
	title, pkg string
	info       broker.Info
}

// brokers returns the columns, without connecting any.
func brokers() []column {
	return []column{
		{"memory", "memory", memorybroker.New().Info()},
		{"HTTP", "http", httpbroker.New().Info()},
		{"NATS JetStream", "nats", natsbroker.New("nats://localhost").Info()},
		{"NATS core", "nats", natsbroker.New("nats://localhost", natsbroker.Core()).Info()},
		{"Kafka", "kafka", kafkabroker.New("kafka://localhost").Info()},
		{"MQTT 5, with `ClientID`", "mqtt", mqttbroker.New("mqtt://localhost", mqttbroker.ClientID("id")).Info()},
		{"RabbitMQ", "rabbitmq", rabbitmqbroker.New("amqp://localhost").Info()},
		{"Redis", "redis", redisbroker.New("redis://localhost").Info()},
	}
}

// row is a capability.
type row struct {
	title string
	has   func(broker.Capabilities) bool
}

func rows() []row {
	return []row{
		{"at least once", func(c broker.Capabilities) bool { return c.AtLeastOnce }},
		{"a queue outlives its members", func(c broker.Capabilities) bool { return c.QueueOutlivesMembers }},
		{"a queue before its first member, and so dead letters", func(c broker.Capabilities) bool { return c.DeclareQueue }},
		{"order by key within a member", func(broker.Capabilities) bool { return true }}, // the engine's doing, S4
		{"a key at one member at a time", func(c broker.Capabilities) bool { return c.KeyOrderAcrossMembers }},
		{"attempts counted across members", func(c broker.Capabilities) bool { return c.PersistentAttempts }},
		{"deliveries counted, for `MaxDeliveries`", func(c broker.Capabilities) bool { return c.DeliveryCount }},
		{"an error when nobody subscribes", func(c broker.Capabilities) bool { return c.KnowsSubscribers }},
		{"an error instead of waiting, with `NoWait`", func(c broker.Capabilities) bool { return c.NoWait }},
	}
}

// table returns the table in Markdown.
func table(columns []column) string {
	var b strings.Builder
	line := func(title string, cell func(column) string) {
		fmt.Fprintf(&b, "| %s |", title)
		for _, c := range columns {
			fmt.Fprintf(&b, " %s |", cell(c))
		}
		b.WriteByte('\n')
	}
	line("", func(c column) string { return c.title })
	b.WriteString("|" + strings.Repeat("---|", len(columns)+1) + "\n")
	line("`runtime/broker/...`", func(c column) string { return "`" + c.pkg + "`" })
	line("nil from `Publish`: the message was", func(c column) string { return c.info.PublishLevel })
	for _, r := range rows() {
		line(r.title, func(c column) string {
			if r.has(c.info.Capabilities) {
				return "yes"
			}
			return "no"
		})
	}
	return b.String()
}
