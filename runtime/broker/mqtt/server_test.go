package mqttbroker_test

import (
	"log/slog"
	"math"
	"net"
	"os"
	"os/exec"
	"testing"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/hooks/auth"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"
	"go.uber.org/goleak"

	"github.com/micro-event/micro-event/runtime/broker"
	"github.com/micro-event/micro-event/runtime/broker/brokertest"
	mqttbroker "github.com/micro-event/micro-event/runtime/broker/mqtt"
)

// Variables that let tests use a real server; scripts/services prints them.
const (
	serverVariable  = "MICRO_EVENT_MQTT"         // URL of a server
	restartVariable = "MICRO_EVENT_MQTT_RESTART" // shell command that ends and starts it
)

func TestMain(m *testing.M) {
	brokertest.ServeMember(func(url string, opts ...broker.Option) broker.Broker {
		return mqttbroker.New(url, append(opts, mqttbroker.ClientID("member"))...)
	})
	goleak.VerifyTestMain(m)
}

// openBroker makes one of the brokers of a process, which has a client id.
func openBroker(url string, opts ...broker.Option) broker.Broker {
	return mqttbroker.New(url, append(opts, mqttbroker.ClientID("test"))...)
}

// variable returns the value of an environment variable, or skips the test.
func variable(t testing.TB, name string) string {
	t.Helper()
	value := os.Getenv(name)
	if value == "" {
		t.Skipf("needs a real server: set %s, as `scripts/services up mosquitto` prints it", name)
	}
	return value
}

// restart ends the real server and starts it again.
func restart(t testing.TB) {
	t.Helper()
	command := variable(t, restartVariable)
	if out, err := exec.CommandContext(t.Context(), "sh", "-c", command).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", command, err, out)
	}
}

func connect(t testing.TB, url string, opts ...broker.Option) *broker.Engine {
	t.Helper()
	b := mqttbroker.New(url, append(opts, broker.WithLogger(slog.New(slog.DiscardHandler)))...)
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

// startServer starts a server in this process that drops nothing, and returns its URL.
func startServer(t testing.TB, hooks ...mochi.Hook) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	return startServerOn(t, l, hooks...)
}

// startServerOn does so with a listener.
func startServerOn(t testing.TB, l net.Listener, hooks ...mochi.Hook) string {
	t.Helper()
	capabilities := mochi.NewDefaultServerCapabilities()
	capabilities.MaximumClientWritesPending = 1 << 20
	capabilities.MaximumInflight = math.MaxUint16
	s := mochi.New(&mochi.Options{Capabilities: capabilities, Logger: slog.New(slog.DiscardHandler)})
	if len(hooks) == 0 {
		hooks = []mochi.Hook{new(auth.AllowHook)}
	}
	for _, h := range append(hooks, new(noQuota)) {
		must(t, s.AddHook(h, nil))
	}
	must(t, s.AddListener(listeners.NewNet("test", l)))
	must(t, s.Serve())
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close the server: %v", err)
		}
	})
	return "mqtt://" + l.Addr().String()
}

// noQuota lets the server send without the bound of the client's receive maximum: in
// v2.7.9 what serves it locks itself out under load (Inflight.NextImmediate takes a
// lock for reading twice).
type noQuota struct{ mochi.HookBase }

// Provides implements [mochi.Hook].
func (*noQuota) Provides(what byte) bool { return what == mochi.OnSessionEstablished }

// OnSessionEstablished implements [mochi.Hook].
func (*noQuota) OnSessionEstablished(c *mochi.Client, _ packets.Packet) {
	c.State.Inflight.ResetSendQuota(0)
}
