package kafkabroker_test

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/micro-event/micro-event/runtime/broker"
	"github.com/micro-event/micro-event/runtime/broker/brokertest"
	kafkabroker "github.com/micro-event/micro-event/runtime/broker/kafka"
)

// impatient are options that let tests of members that come and go be quick.
func impatient(opts []broker.Option) []broker.Option {
	return append(opts, kafkabroker.SessionTimeout(1500*time.Millisecond), kafkabroker.RebalanceTimeout(5*time.Second))
}

func TestConformance(t *testing.T) {
	c := newCluster(t)
	brokertest.Run(t, func(_ testing.TB, opts ...broker.Option) broker.Broker {
		return kafkabroker.New(c.url(), impatient(opts)...)
	}, brokertest.Features{
		ServerInProcess:  true,
		Interrupt:        c.listener.cut,
		IgnoreGoroutines: []string{"franz-go/pkg/kfake", "kafka_test.(*listener)"},
	})
}

// With several partitions messages without a key have no order.
func TestConformanceWithThreePartitions(t *testing.T) {
	c := newCluster(t, kfake.DefaultNumPartitions(3))
	brokertest.Run(t, func(_ testing.TB, opts ...broker.Option) broker.Broker {
		return kafkabroker.New(c.url(), impatient(opts)...)
	}, brokertest.Features{
		ServerInProcess:  true,
		Interrupt:        c.listener.cut,
		IgnoreGoroutines: []string{"franz-go/pkg/kfake", "kafka_test.(*listener)"},
		Skip: map[string]string{
			"S4_no_key_starts_in_arrival_order": "messages without a key are spread over the partitions",
		},
	})
}
