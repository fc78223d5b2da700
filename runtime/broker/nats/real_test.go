package natsbroker_test

import (
	"os"
	"os/exec"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/micro-event/micro-event/runtime/broker"
	"github.com/micro-event/micro-event/runtime/broker/brokertest"
	natsbroker "github.com/micro-event/micro-event/runtime/broker/nats"
)

// Variables that let tests use a server of its own process; scripts/services
// prints them.
const (
	serverVariable  = "MICRO_EVENT_NATS"         // URL of a server
	restartVariable = "MICRO_EVENT_NATS_RESTART" // shell command that kills and starts it
)

func TestMain(m *testing.M) {
	brokertest.ServeMember(openBroker)
	goleak.VerifyTestMain(m)
}

// variable returns the value of an environment variable, or skips the test.
func variable(t testing.TB, name string) string {
	t.Helper()
	value := os.Getenv(name)
	if value == "" {
		t.Skipf("needs a nats-server: set %s, as `scripts/services up nats` prints it", name)
	}
	return value
}

func TestConformanceOfARealServer(t *testing.T) {
	url := variable(t, serverVariable)
	brokertest.Run(t, func(_ testing.TB, opts ...broker.Option) broker.Broker {
		return natsbroker.New(url, append(opts, natsbroker.AckWait(3*time.Second))...)
	}, brokertest.Features{
		Deadline: 20 * time.Second, Messages: 2000,
		Skip: map[string]string{
			"S3_a_broadcast_ends_with_its_subscription": "a stream says that it has stored a message, not whether a queue will get it",
		},
	})
}

func TestFaultsOfARealServer(t *testing.T) {
	command := variable(t, restartVariable)
	brokertest.RunFaults(t, faults(variable(t, serverVariable), func(t testing.TB) {
		out, err := exec.CommandContext(t.Context(), "sh", "-c", command).CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", command, err, out)
		}
	}))
}

// TestAllocationsOnARealServer holds the budget of a publish, the client's own
// allocations included.
func TestAllocationsOnARealServer(t *testing.T) {
	single, batched := brokertest.PublishAllocations(t, connect(t, variable(t, serverVariable)), "natsbroker.allocations")
	if single > 13 || batched > 15 {
		t.Errorf("a message allocates %v times, and in a batch %v, want at most 13 and 15", single, batched)
	}
}
