package memorybroker_test

import (
	"testing"

	"github.com/micro-event/micro-event/runtime/broker"
	"github.com/micro-event/micro-event/runtime/broker/brokertest"
	memorybroker "github.com/micro-event/micro-event/runtime/broker/memory"
)

func TestConformance(t *testing.T) {
	connection := brokertest.Share(memorybroker.NewDriver())
	brokertest.Run(t, func(_ testing.TB, opts ...broker.Option) broker.Broker {
		return broker.New(connection(), opts...)
	}, brokertest.Features{Capacity: memorybroker.DefaultCapacity})
}

func BenchmarkConformance(b *testing.B) {
	brokertest.RunBenchmarks(b, func(_ testing.TB, opts ...broker.Option) broker.Broker {
		return memorybroker.New(opts...)
	}, brokertest.Features{})
}
