package httpbroker_test

import (
	"context"
	"errors"
	"testing"

	"github.com/micro-event/micro-event/runtime/broker"
	"github.com/micro-event/micro-event/runtime/broker/brokertest"
	httpbroker "github.com/micro-event/micro-event/runtime/broker/http"
)

func TestConformance(t *testing.T) {
	for _, level := range []httpbroker.Level{httpbroker.Handled, httpbroker.Accepted} {
		t.Run(level.String(), func(t *testing.T) { testConformance(t, level) })
	}
}

func testConformance(t *testing.T, level httpbroker.Level) {
	registry := httpbroker.NewMemoryRegistry()
	newBroker := func(_ testing.TB, opts ...broker.Option) broker.Broker {
		opts = append(append(opts, childOptions(level)...), httpbroker.WithRegistry(registry))
		return forgiving{httpbroker.New(opts...)}
	}
	brokertest.Run(t, newBroker, features(level))
}

func features(level httpbroker.Level) brokertest.Features {
	f := brokertest.Features{PublishWaits: level == httpbroker.Handled}
	if level == httpbroker.Accepted {
		f.Capacity = capacity
	}
	return f
}

func BenchmarkConformance(b *testing.B) {
	registry := httpbroker.NewMemoryRegistry()
	brokertest.RunBenchmarks(b, func(_ testing.TB, opts ...broker.Option) broker.Broker {
		return httpbroker.New(append(opts, httpbroker.WithRegistry(registry))...)
	}, features(httpbroker.Handled))
}

// forgiving is a broker whose tests leave accepted messages behind.
type forgiving struct{ *broker.Engine }

// Disconnect implements [broker.Broker].
func (f forgiving) Disconnect(ctx context.Context) error {
	err := f.Engine.Disconnect(ctx)
	if errors.Is(err, httpbroker.ErrLost) && !errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	return err
}

// capacity is small enough to be reached by a test.
const capacity = 256
