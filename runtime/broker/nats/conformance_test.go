package natsbroker_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/micro-event/micro-event/runtime/broker"
	"github.com/micro-event/micro-event/runtime/broker/brokertest"
	natsbroker "github.com/micro-event/micro-event/runtime/broker/nats"
)

func TestConformance(t *testing.T) {
	s := startServer(t)
	f := s.features()
	f.Capacity = 1024
	f.Skip = map[string]string{
		"S3_a_broadcast_ends_with_its_subscription": "a stream says that it has stored a message, not whether a queue will get it",
	}
	brokertest.Run(t, s.brokers(natsbroker.AckWait(3*time.Second), natsbroker.Stream(jetstream.StreamConfig{
		Retention: jetstream.InterestPolicy, Discard: jetstream.DiscardNew, MaxMsgs: int64(f.Capacity),
	})), f)
}

func TestConformanceCore(t *testing.T) {
	s := startServer(t)
	brokertest.Run(t, s.brokers(natsbroker.Core()), s.features())
}

func BenchmarkConformance(b *testing.B) {
	brokertest.RunBenchmarks(b, startServer(b).brokers(), brokertest.Features{})
}

func BenchmarkConformanceCore(b *testing.B) {
	brokertest.RunBenchmarks(b, startServer(b).brokers(natsbroker.Core()), brokertest.Features{})
}

func (s *testServer) brokers(fixed ...broker.Option) brokertest.NewBroker {
	url := s.url()
	return func(_ testing.TB, opts ...broker.Option) broker.Broker {
		return natsbroker.New(url, append(opts, fixed...)...)
	}
}

func (s *testServer) features() brokertest.Features {
	return brokertest.Features{
		Deadline:         20 * time.Second, // five times the ack wait fit in
		Messages:         2000,
		ServerInProcess:  true,
		Interrupt:        s.interrupt,
		IgnoreGoroutines: []string{"nats-server/v2/server"},
	}
}
