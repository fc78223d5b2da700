package mqttbroker_test

import (
	"net/url"
	"testing"
	"time"

	"github.com/micro-event/micro-event/runtime/broker"
	"github.com/micro-event/micro-event/runtime/broker/brokertest"
	mqttbroker "github.com/micro-event/micro-event/runtime/broker/mqtt"
)

// throughProxy runs the suite on a server that clients reach through a proxy, which
// can cut them off.
func throughProxy(t *testing.T, server string, f brokertest.Features) {
	t.Helper()
	u, err := url.Parse(server)
	must(t, err)
	p := brokertest.StartProxy(t, u.Host)
	u.Host = p.Address()
	f.Deadline, f.Interrupt, f.MaxBody = 20*time.Second, p.Interrupt, 16<<20
	f.IgnoreGoroutines = append(f.IgnoreGoroutines, "brokertest.(*Proxy)")
	brokertest.Run(t, func(_ testing.TB, opts ...broker.Option) broker.Broker {
		return openBroker(u.String(), opts...)
	}, f)
}

const noOrder = "the server in process sends what a session has kept in no order"

func TestConformance(t *testing.T) {
	url := startServer(t)
	info := connect(t, url, mqttbroker.ClientID("test")).Info()
	info.Capabilities.KnowsSubscribers = false // this server does not say so
	throughProxy(t, url, brokertest.Features{
		Info: &info, Messages: 2000, ServerInProcess: true,
		IgnoreGoroutines: []string{"mochi-mqtt/server"},
		Skip: map[string]string{
			"S3_a_queue_outlives_its_members": noOrder, "S3_a_queue_outlives_connections": noOrder,
			"U1_nothing_starts_after_unsubscribe": "the server in process loses what is published while a client takes up a session",
		},
	})
}

func TestConformanceOfARealServer(t *testing.T) {
	throughProxy(t, variable(t, serverVariable), brokertest.Features{})
}

func TestFaultsOfARealServer(t *testing.T) {
	brokertest.RunFaults(t, brokertest.Faults{
		URL: variable(t, serverVariable), Open: openBroker, Restart: restart, Returns: true,
	})
}
