package spoolbroker_test

import (
	"testing"
	"time"

	spoolbroker "github.com/micro-event/micro-event/examples/driver"
	"github.com/micro-event/micro-event/runtime/broker"
	"github.com/micro-event/micro-event/runtime/broker/brokertest"
)

func TestConformance(t *testing.T) {
	brokertest.Run(t, newBroker(t), brokertest.Features{Messages: 500})
}

// newBroker returns a maker of brokers that share one directory.
func newBroker(t *testing.T) brokertest.NewBroker {
	t.Helper()
	dir := t.TempDir()
	return func(_ testing.TB, opts ...broker.Option) broker.Broker {
		opts = append(opts, spoolbroker.AckWait(2*time.Second))
		return spoolbroker.New(dir, opts...)
	}
}
