package redisbroker_test

import (
	"net/url"
	"testing"
	"time"

	"github.com/micro-event/micro-event/runtime/broker"
	"github.com/micro-event/micro-event/runtime/broker/brokertest"
)

// throughProxy runs the suite on a server that clients reach through a proxy, which
// can cut them off.
func throughProxy(t *testing.T, server string, f brokertest.Features) {
	t.Helper()
	u, err := url.Parse(server)
	must(t, err)
	p := brokertest.StartProxy(t, u.Host)
	u.Host = p.Address()
	f.Deadline, f.Interrupt = 20*time.Second, p.Interrupt
	f.IgnoreGoroutines = append(f.IgnoreGoroutines, "brokertest.(*Proxy)")
	brokertest.Run(t, func(_ testing.TB, opts ...broker.Option) broker.Broker {
		return openBroker(u.String(), opts...)
	}, f)
}

func TestConformance(t *testing.T) {
	throughProxy(t, miniURL(startMini(t)), brokertest.Features{
		Messages: 2000, ServerInProcess: true,
		IgnoreGoroutines: []string{"alicebob/miniredis"},
	})
}

func TestConformanceOfARealServer(t *testing.T) {
	throughProxy(t, variable(t, serverVariable), brokertest.Features{})
}

func TestFaultsOfARealServer(t *testing.T) {
	brokertest.RunFaults(t, brokertest.Faults{
		URL: variable(t, serverVariable), Open: openBroker, Restart: restart,
	})
}

// TestAllocationsOnARealServer holds the budget of a publish, the client's own
// allocations included, which for one message are 10 or, now and then, 30.
func TestAllocationsOnARealServer(t *testing.T) {
	single, batched := brokertest.PublishAllocations(t, connect(t, variable(t, serverVariable)), "redisbroker.allocations")
	if single > 40 || batched > 14 {
		t.Errorf("a message allocates %v times, and in a batch %v, want at most 40 and 14", single, batched)
	}
}
