package mqttbroker_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"

	"github.com/micro-event/micro-event/runtime/broker"
	mqttbroker "github.com/micro-event/micro-event/runtime/broker/mqtt"
)

// logged is a log that tests wait for.
type logged struct {
	mu    sync.Mutex
	text  bytes.Buffer
	wrote chan struct{}
}

func newLog() *logged { return &logged{wrote: make(chan struct{}, 100)} }

// Write implements [io.Writer].
func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wrote <- struct{}{}
	return l.text.Write(p)
}

// await waits until the log has a text.
func (l *logged) await(text string) {
	for range l.wrote {
		l.mu.Lock()
		found := strings.Contains(l.text.String(), text)
		l.mu.Unlock()
		if found {
			return
		}
	}
}

// TestASubscriptionThatIsNeverTaken has a server to which each packet id is in use.
func TestASubscriptionThatIsNeverTaken(t *testing.T) {
	f := startFake(t, &fake{suback: 0x91})
	b := connect(t, f.url)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := b.Subscribe(ctx, "t", func(context.Context, *broker.Delivery) error { return nil })
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want DeadlineExceeded", err)
	}
}

// TestASubscriptionThatIsRefused says why.
func TestASubscriptionThatIsRefused(t *testing.T) {
	for answer, want := range map[byte]string{
		0x87: `the server refuses the subscription to "$share/q/t": 0x87`, 0: "the server grants only QoS 0",
	} {
		f := startFake(t, &fake{suback: answer})
		b := connect(t, f.url)
		_, err := b.Subscribe(t.Context(), "t", func(context.Context, *broker.Delivery) error { return nil }, broker.Queue("q"))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// TestTheEndOfASession tells what is wrong when the server has forgotten the session,
// and when another client has its id.
func TestTheEndOfASession(t *testing.T) {
	f := startFake(t, &fake{suback: 1})
	log := newLog()
	b := mqttbroker.New(f.url, mqttbroker.ClientID("orders-0"), broker.WithLogger(slog.New(slog.NewTextHandler(log, nil))))
	must(t, b.Connect(t.Context()))
	t.Cleanup(func() { must(t, b.Disconnect(context.WithoutCancel(t.Context()))) })
	_, err := b.Subscribe(t.Context(), "t", func(context.Context, *broker.Delivery) error { return nil }, broker.Queue("q"))
	must(t, err)
	f.cut()
	log.await("the server has lost the session: what it kept for it is lost")
	f.member().send(&packets.Disconnect{ReasonCode: packets.DisconnectSessionTakenOver, Properties: &packets.Properties{}})
	log.await("give each process a ClientID of its own")
}

// TestAcknowledgementsInOrder lets the second message be handled before the first one.
func TestAcknowledgementsInOrder(t *testing.T) {
	ids := make(chan uint16, 2)
	f := startFake(t, &fake{suback: 1, handle: func(_ *peer, p *packets.ControlPacket) {
		if p.Type == packets.PUBACK {
			ids <- p.PacketID()
		}
	}})
	b := connect(t, f.url, mqttbroker.ClientID("orders-0"))
	second := make(chan struct{})
	_, err := b.Subscribe(t.Context(), "t", func(ctx context.Context, d *broker.Delivery) error {
		if string(d.Message.Body) == "second" {
			close(second)
			return nil
		}
		select {
		case <-second:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}, broker.Queue("q"), broker.MaxInFlight(2))
	must(t, err)
	member := f.member()
	member.publish("t", 7, "first")
	member.publish("t", 3, "second")
	if a, b := <-ids, <-ids; a != 7 || b != 3 {
		t.Errorf("acknowledged: got %d and %d, want 7 and 3, as they came", a, b)
	}
}

// TestClientIDs are those of the members of one process, in the order in which places
// are free.
func TestClientIDs(t *testing.T) {
	var mu sync.Mutex
	var ids []string
	f := startFake(t, &fake{suback: 1, connack: func(c *packets.Connect) *packets.Connack {
		mu.Lock()
		defer mu.Unlock()
		ids = append(ids, c.ClientID)
		return &packets.Connack{Properties: &packets.Properties{}}
	}})
	one, two := connect(t, f.url, mqttbroker.ClientID("orders-0")), connect(t, f.url, mqttbroker.ClientID("orders-0"))
	subscribe := func(b broker.Broker, topic string) broker.Subscriber {
		s, err := b.Subscribe(t.Context(), topic, func(context.Context, *broker.Delivery) error { return nil }, broker.Queue("q"))
		must(t, err)
		return s
	}
	first := subscribe(one, "t")
	subscribe(two, "t")
	subscribe(two, "other")
	must(t, first.Unsubscribe(t.Context()))
	subscribe(two, "t")
	mu.Lock()
	defer mu.Unlock()
	members := ids[2:]
	if members[0] != members[3] || members[0] == members[1] || members[0] == members[2] || members[1] == members[2] {
		t.Errorf("client ids: got %q, want the first and the last one equal, the others different", members)
	}
	for _, id := range members {
		if !strings.HasPrefix(id, "orders-0-") {
			t.Errorf("client id: got %q, want one that begins with ClientID", id)
		}
	}
}
