package eventtest

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/micro-event/micro-event/runtime/broker"
	memorybroker "github.com/micro-event/micro-event/runtime/broker/memory"
)

// drainTimeout is how long the broker of a test waits for its handlers.
const drainTimeout = 10 * time.Second

// NewBroker returns a broker in process that is connected, logs to the test, and
// is disconnected when the test ends. Faults happen to the messages that are
// published through it, dead letters included, which are counted from 1.
func NewBroker(t testing.TB, faults ...Fault) *broker.Engine {
	t.Helper()
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	b := broker.New(InjectFaults(memorybroker.NewDriver(), faults...), broker.WithLogger(log))
	if err := b.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), drainTimeout)
		defer cancel()
		if err := b.Disconnect(ctx); err != nil {
			t.Error(err)
		}
	})
	return b
}
