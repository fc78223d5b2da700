package redisbroker_test

import (
	"log/slog"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"go.uber.org/goleak"

	"github.com/micro-event/micro-event/runtime/broker"
	"github.com/micro-event/micro-event/runtime/broker/brokertest"
	redisbroker "github.com/micro-event/micro-event/runtime/broker/redis"
)

// Variables that let tests use a real server; scripts/services prints them.
const (
	serverVariable  = "MICRO_EVENT_REDIS"         // URL of a server that stores at once
	restartVariable = "MICRO_EVENT_REDIS_RESTART" // shell command that kills and starts it
)

func TestMain(m *testing.M) {
	brokertest.ServeMember(openBroker)
	goleak.VerifyTestMain(m)
}

// openBroker makes a broker with a short ack clock.
func openBroker(url string, opts ...broker.Option) broker.Broker {
	return redisbroker.New(url, append(opts, redisbroker.AckWait(2*time.Second))...)
}

// variable returns the value of an environment variable, or skips the test.
func variable(t testing.TB, name string) string {
	t.Helper()
	value := os.Getenv(name)
	if value == "" {
		t.Skipf("needs a real Redis: set %s, as `scripts/services up redis` prints it", name)
	}
	return value
}

// restart kills the real server and starts it again.
func restart(t testing.TB) {
	t.Helper()
	command := variable(t, restartVariable)
	if out, err := exec.CommandContext(t.Context(), "sh", "-c", command).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", command, err, out)
	}
}

func connect(t testing.TB, url string, opts ...broker.Option) *broker.Engine {
	t.Helper()
	b := redisbroker.New(url, append(opts, broker.WithLogger(slog.New(slog.DiscardHandler)))...)
	must(t, b.Connect(t.Context()))
	t.Cleanup(func() {
		if err := b.Disconnect(t.Context()); err != nil && t.Context().Err() == nil {
			t.Errorf("disconnect: %v", err)
		}
	})
	return b
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// startMini starts a server in this process. It takes time from a clock that stands
// still unless it is told.
func startMini(t testing.TB) *miniredis.Miniredis {
	t.Helper()
	m := miniredis.NewMiniRedis()
	must(t, m.Start())
	t.Cleanup(m.Close)
	return m
}

func miniURL(m *miniredis.Miniredis) string { return "redis://" + m.Addr() + "/0" }
