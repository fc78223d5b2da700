package rabbitmqbroker_test

import (
	"log/slog"
	"net/url"
	"os"
	"os/exec"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/micro-event/micro-event/runtime/broker"
	"github.com/micro-event/micro-event/runtime/broker/brokertest"
	rabbitmqbroker "github.com/micro-event/micro-event/runtime/broker/rabbitmq"
)

// Variables that let tests use a real server; scripts/services prints them.
const (
	serverVariable  = "MICRO_EVENT_RABBITMQ"         // URL of a server
	restartVariable = "MICRO_EVENT_RABBITMQ_RESTART" // shell command that kills and starts it
	settleVariable  = "MICRO_EVENT_RABBITMQ_SETTLE"  // shell command that stops it in good order and starts it
)

func TestMain(m *testing.M) {
	brokertest.ServeMember(openBroker)
	goleak.VerifyTestMain(m)
}

func openBroker(url string, opts ...broker.Option) broker.Broker {
	return rabbitmqbroker.New(url, opts...)
}

// variable returns the value of an environment variable, or skips the test.
func variable(t testing.TB, name string) string {
	t.Helper()
	value := os.Getenv(name)
	if value == "" {
		t.Skipf("needs a RabbitMQ: set %s, as `scripts/services up rabbitmq` prints it", name)
	}
	return value
}

// restart kills the server and starts it again.
func restart(t testing.TB) {
	t.Helper()
	run(t, variable(t, restartVariable))
}

// settle stops the server in good order and starts it again. RabbitMQ 3.10 forgets a
// quorum queue, with what it has confirmed, that was declared less than a moment
// before it is killed: it notes which queues there are a while after it said so.
func settle(t testing.TB) {
	t.Helper()
	run(t, variable(t, settleVariable))
}

func run(t testing.TB, command string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), "sh", "-c", command).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", command, err, out)
	}
}

// proxied returns a proxy to the server and the URL that leads through it.
func proxied(t testing.TB) (*brokertest.Proxy, string) {
	t.Helper()
	u, err := url.Parse(variable(t, serverVariable))
	must(t, err)
	p := brokertest.StartProxy(t, u.Host)
	u.Host = p.Address()
	return p, u.String()
}

func connect(t testing.TB, url string, opts ...broker.Option) *broker.Engine {
	t.Helper()
	b := rabbitmqbroker.New(url, append(opts, broker.WithLogger(slog.New(slog.DiscardHandler)))...)
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

func TestConformanceOfARealServer(t *testing.T) {
	p, url := proxied(t)
	brokertest.Run(t, func(_ testing.TB, opts ...broker.Option) broker.Broker {
		return openBroker(url, opts...)
	}, brokertest.Features{
		Deadline: 20 * time.Second, Interrupt: p.Interrupt,
		IgnoreGoroutines: []string{"brokertest.(*Proxy)"},
	})
}

// TestFaultsOfARealServer does not ask for order after the server was killed. A member
// that is back before RabbitMQ 3.10 has noticed that the dead connection is gone is given
// newer messages first; so is one without this package: in 2 of 25 kills the 8 messages
// that a bare client had held came behind the next 8.
func TestFaultsOfARealServer(t *testing.T) {
	brokertest.RunFaults(t, brokertest.Faults{
		URL: variable(t, serverVariable), Open: openBroker, Restart: restart, Settle: settle, UnorderedRestarts: true,
	})
}
