package kafkabroker_test

import (
	"os"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/micro-event/micro-event/runtime/broker"
	"github.com/micro-event/micro-event/runtime/broker/brokertest"
	kafkabroker "github.com/micro-event/micro-event/runtime/broker/kafka"
)

// Variables that let tests use a real Kafka; scripts/services prints them.
const (
	serverVariable  = "MICRO_EVENT_KAFKA"         // URL of a server
	saslVariable    = "MICRO_EVENT_KAFKA_SASL"    // URL of one that wants the user and password in it
	restartVariable = "MICRO_EVENT_KAFKA_RESTART" // shell command that kills and starts the first
)

// variable returns the value of an environment variable, or skips the test.
func variable(t testing.TB, name string) string {
	t.Helper()
	value := os.Getenv(name)
	if value == "" {
		t.Skipf("needs a real Kafka: set %s, as `scripts/services up kafka` prints it", name)
	}
	return value
}

// newBroker makes a broker that lets tests of members that come and go be quick.
func newBroker(url string, opts ...broker.Option) *broker.Engine {
	return kafkabroker.New(url, append(opts,
		kafkabroker.SessionTimeout(1500*time.Millisecond), kafkabroker.RebalanceTimeout(5*time.Second))...)
}

func brokersOf(url string, more ...broker.Option) brokertest.NewBroker {
	return func(_ testing.TB, opts ...broker.Option) broker.Broker {
		return newBroker(url, append(opts, more...)...)
	}
}

// noOrder says what several partitions cannot do.
var noOrder = map[string]string{
	"S4_no_key_starts_in_arrival_order": "messages without a key are spread over the partitions",
}

func inProcess(c *cluster, skip map[string]string) brokertest.Features {
	return brokertest.Features{
		ServerInProcess:  true,
		Interrupt:        c.listener.cut,
		IgnoreGoroutines: []string{"franz-go/pkg/kfake", "kafka_test.(*listener)"},
		Skip:             skip,
	}
}

func TestConformance(t *testing.T) {
	c := newCluster(t)
	brokertest.Run(t, brokersOf(c.url()), inProcess(c, nil))
}

func TestConformanceWithThreePartitions(t *testing.T) {
	c := newCluster(t, kfake.DefaultNumPartitions(3))
	brokertest.Run(t, brokersOf(c.url()), inProcess(c, noOrder))
}

func TestConformanceOfARealServer(t *testing.T) {
	brokertest.Run(t, brokersOf(variable(t, serverVariable)), brokertest.Features{})
}

func TestConformanceOfARealServerWithThreePartitions(t *testing.T) {
	url := variable(t, serverVariable)
	brokertest.Run(t, brokersOf(url, kafkabroker.NewTopics(3, 1)), brokertest.Features{Skip: noOrder})
}
