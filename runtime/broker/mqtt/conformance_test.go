package mqttbroker_test

import (
	"context"
	"errors"
	"log/slog"
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

// TestTheEndOfASessionOnARealServer cuts off a member for longer than its session is
// kept. What it had is lost, and both sides are told.
func TestTheEndOfASessionOnARealServer(t *testing.T) {
	server := variable(t, serverVariable)
	u, err := url.Parse(server)
	must(t, err)
	p := brokertest.StartProxy(t, u.Host)
	u.Host = p.Address()
	log, handled := newLog(), make(chan string, 100)
	member := mqttbroker.New(u.String(), mqttbroker.ClientID("ends"), mqttbroker.SessionExpiry(time.Second),
		broker.WithLogger(slog.New(slog.NewTextHandler(log, nil))))
	must(t, member.Connect(t.Context()))
	t.Cleanup(func() { must(t, member.Disconnect(context.WithoutCancel(t.Context()))) })
	topic := brokertest.TopicPrefix + ".ends"
	_, err = member.Subscribe(t.Context(), topic, func(_ context.Context, d *broker.Delivery) error {
		handled <- string(d.Message.Body)
		return nil
	}, broker.Queue("q"))
	must(t, err)
	publisher := connect(t, server)
	publish := func(body string) error {
		return publisher.Publish(t.Context(), topic, &broker.Message{Body: []byte(body)})
	}
	must(t, publish("before"))
	if got := <-handled; got != "before" {
		t.Errorf("handled: got %q, want the message before", got)
	}
	restore := p.Interrupt(t)
	must(t, publish("lost"))
	for err = nil; err == nil; { // the session is kept until it expires
		err = publish("lost")
	}
	if !errors.Is(err, broker.ErrNoSubscribers) {
		t.Errorf("publish without a session: got %v, want ErrNoSubscribers", err)
	}
	restore()
	log.await("the server has lost the session")
	for publish("after") != nil { // until the member has subscribed
	}
	if got := <-handled; got != "after" {
		t.Errorf("handled: got %q, want the message after", got)
	}
}

// TestAllocationsOnARealServer holds the budget of a publish, the client's own
// allocations included.
func TestAllocationsOnARealServer(t *testing.T) {
	single, batched := brokertest.PublishAllocations(t, connect(t, variable(t, serverVariable)), "mqttbroker.allocations")
	if single > 60 || batched > 62 {
		t.Errorf("a message allocates %v times, and in a batch %v, want at most 60 and 62", single, batched)
	}
}
