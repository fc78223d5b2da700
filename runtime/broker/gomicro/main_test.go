package gomicrobroker_test

import (
	"testing"

	gomicro "go-micro.dev/v5/broker"
	natsmicro "go-micro.dev/v5/broker/nats"

	"github.com/micro-event/micro-event/runtime/broker"
	"github.com/micro-event/micro-event/runtime/broker/brokertest"
	gomicrobroker "github.com/micro-event/micro-event/runtime/broker/gomicro"
	"github.com/micro-event/micro-event/runtime/broker/gomicro/internal/natstest"
	memorybroker "github.com/micro-event/micro-event/runtime/broker/memory"
)

func TestConformanceTheirNATS(t *testing.T) {
	url := natstest.Start(t)
	brokertest.Run(t, func(_ testing.TB, opts ...broker.Option) broker.Broker {
		return gomicrobroker.FromGoMicro(natsmicro.NewNatsBroker(gomicro.Addrs(url)), append([]broker.Option{broker.MaxMessageBytes(512 << 10)}, opts...)...)
	}, brokertest.Features{
		Messages: 1000, MaxBody: 512 << 10, ServerInProcess: true,
		IgnoreGoroutines: []string{"nats-server/v2/server"},
	})
}

func TestConformanceOurMemoryThere(t *testing.T) {
	memory := brokertest.Share(memorybroker.NewDriver())
	brokertest.Run(t, func(_ testing.TB, opts ...broker.Option) broker.Broker {
		theirs := gomicrobroker.ToGoMicro(broker.New(memory()))
		return gomicrobroker.FromGoMicro(theirs, opts...)
	}, brokertest.Features{Messages: 1000})
}

// TestConformanceTheirMemory has queues of one member, which the broker, though it
// ignores their names, keeps.
func TestConformanceTheirMemory(t *testing.T) {
	memory := brokertest.Share(gomicrobroker.NewDriver(gomicro.NewMemoryBroker()))
	brokertest.Run(t, func(_ testing.TB, opts ...broker.Option) broker.Broker {
		return broker.New(memory(), append([]broker.Option{gomicrobroker.Queues(true)}, opts...)...)
	}, brokertest.Features{Messages: 1000, Skip: map[string]string{
		"S2_members_share_a_queue":          "go-micro's memory broker ignores queues",
		"P4_the_message_is_not_kept":        "Publish waits until the subscription has room",
		"S2_a_blocked_queue_stops_no_other": "Publish waits until the subscription has room",
		"S4_max_in_flight_is_used_and_kept": "Publish waits until the subscription has room",
	}})
}
