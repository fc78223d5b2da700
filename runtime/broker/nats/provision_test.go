package natsbroker_test

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/micro-event/micro-event/runtime/broker"
	natsbroker "github.com/micro-event/micro-event/runtime/broker/nats"
)

// raw returns the bare client, as an operator has it.
func raw(t testing.TB, url string) (*nats.Conn, jetstream.JetStream) {
	t.Helper()
	conn, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	return conn, js
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestAutoCreatesStreamAndDurable(t *testing.T) {
	s := startServer(t)
	b := connect(t, s.url())
	_, js := raw(t, s.url())
	must(t, b.DeclareQueue(t.Context(), "shop.orders.created", "billing.eu"))
	stream, err := js.Stream(t.Context(), "micro~shop~orders~created")
	must(t, err)
	if c := stream.CachedInfo().Config; c.Retention != jetstream.InterestPolicy || c.Discard != jetstream.DiscardNew ||
		!reflect.DeepEqual(c.Subjects, []string{"shop.orders.created"}) || c.Metadata["micro-event"] != "natsbroker" {
		t.Errorf("stream: got %+v", c)
	}
	consumer, err := stream.Consumer(t.Context(), "billing~eu@shop~orders~created")
	must(t, err)
	if c := consumer.CachedInfo().Config; c.AckPolicy != jetstream.AckExplicitPolicy || c.MaxDeliver > 0 || c.AckWait != natsbroker.DefaultAckWait {
		t.Errorf("consumer: got %+v", c)
	}
}

func TestNamesFitTheServer(t *testing.T) {
	b := connect(t, startServer(t).url())
	long := strings.Repeat("a.", 99) + "b"
	for _, topic := range []string{long, long + "c"} {
		in := newLedger()
		_, err := b.Subscribe(t.Context(), topic, in.handle, broker.Queue(long))
		must(t, err)
		must(t, b.Publish(t.Context(), topic, &broker.Message{Key: "k", Body: []byte("k-0")}))
		in.await(t, "the message", func() bool { return in.handledInAll == 1 })
	}
}

// TestForeignStreamIsUsedAsItIs uses a stream that takes several topics, with a
// queue of the same name on two of them.
func TestForeignStreamIsUsedAsItIs(t *testing.T) {
	for _, retention := range []jetstream.RetentionPolicy{jetstream.LimitsPolicy, jetstream.WorkQueuePolicy} {
		t.Run(retention.String(), func(t *testing.T) {
			s := startServer(t)
			_, js := raw(t, s.url())
			stream, err := js.CreateStream(t.Context(), jetstream.StreamConfig{
				Name: "SHOP", Subjects: []string{"shop.>"}, Retention: retention, MaxAge: time.Hour,
			})
			must(t, err)
			before := stream.CachedInfo().Config
			b := connect(t, s.url())
			for _, topic := range []string{"shop.a", "shop.b"} {
				in := newLedger()
				_, err := b.Subscribe(t.Context(), topic, in.handle, broker.Queue("q"))
				must(t, err)
				must(t, b.Publish(t.Context(), topic, &broker.Message{Key: topic, Body: []byte(topic + "-0")}))
				in.await(t, "its message", func() bool { return in.handledInAll == 1 && in.handled[topic+"-0"] == 1 })
			}
			info, err := stream.Info(t.Context())
			must(t, err)
			if !reflect.DeepEqual(info.Config, before) {
				t.Errorf("config of the stream: got %+v, was %+v", info.Config, before)
			}
			if n := countStreams(t, js); n != 1 {
				t.Errorf("streams: got %d, want 1", n)
			}
		})
	}
}

func countStreams(t *testing.T, js jetstream.JetStream) int {
	t.Helper()
	n := 0
	list := js.StreamNames(t.Context())
	for range list.Name() {
		n++
	}
	must(t, list.Err())
	return n
}

func TestVerifyCreatesNothing(t *testing.T) {
	s := startServer(t)
	_, js := raw(t, s.url())
	b := connect(t, s.url(), natsbroker.Provision(natsbroker.Verify))
	h := func(context.Context, *broker.Delivery) error { return nil }
	if _, err := b.Subscribe(t.Context(), "verified", h, broker.Queue("q")); !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Errorf("subscribe without a stream: got %v, want ErrStreamNotFound", err)
	}
	if n := countStreams(t, js); n != 0 {
		t.Errorf("streams: got %d, want none", n)
	}
	_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "V", Subjects: []string{"verified"}})
	must(t, err)
	if err := b.DeclareQueue(t.Context(), "verified", "q"); !errors.Is(err, jetstream.ErrConsumerNotFound) {
		t.Errorf("declare without a durable: got %v, want ErrConsumerNotFound", err)
	}
	_, err = js.CreateConsumer(t.Context(), "V", jetstream.ConsumerConfig{
		Durable: "q@verified", FilterSubject: "verified", AckPolicy: jetstream.AckExplicitPolicy,
	})
	must(t, err)
	must(t, b.DeclareQueue(t.Context(), "verified", "q"))
	in := newLedger()
	for _, opts := range [][]broker.SubscribeOption{{broker.Queue("q")}, nil} {
		_, err = b.Subscribe(t.Context(), "verified", in.handle, opts...)
		must(t, err)
	}
	must(t, b.Publish(t.Context(), "verified", &broker.Message{Key: "k", Body: []byte("k-0")}))
	in.await(t, "the message in the queue and the broadcast", func() bool { return in.handledInAll == 2 })
}

// TestForeignConsumerIsCheckedAndLeftAlone has a durable that would lose
// messages.
func TestForeignConsumerIsCheckedAndLeftAlone(t *testing.T) {
	for name, change := range map[string]func(*jetstream.ConsumerConfig){
		"ack wait":    func(c *jetstream.ConsumerConfig) { c.AckWait = time.Second },
		"ack policy":  func(c *jetstream.ConsumerConfig) { c.AckPolicy = jetstream.AckNonePolicy },
		"deliveries":  func(c *jetstream.ConsumerConfig) { c.MaxDeliver = 3 },
		"it filters ": func(c *jetstream.ConsumerConfig) { c.FilterSubject = "" },
	} {
		t.Run(name, func(t *testing.T) {
			s := startServer(t)
			_, js := raw(t, s.url())
			_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "F", Subjects: []string{"foreign"}})
			must(t, err)
			c := jetstream.ConsumerConfig{Durable: "q@foreign", FilterSubject: "foreign", AckPolicy: jetstream.AckExplicitPolicy}
			change(&c)
			consumer, err := js.CreateConsumer(t.Context(), "F", c)
			must(t, err)
			before := consumer.CachedInfo().Config
			b := connect(t, s.url())
			if err := b.DeclareQueue(t.Context(), "foreign", "q"); err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("got %v, want an error about its %s", err, name)
			}
			info, err := consumer.Info(t.Context())
			must(t, err)
			if !reflect.DeepEqual(info.Config, before) {
				t.Errorf("config of the consumer: got %+v, was %+v", info.Config, before)
			}
		})
	}
}

func TestOwnConsumerGetsALongerAckWait(t *testing.T) {
	s := startServer(t)
	_, js := raw(t, s.url())
	for _, d := range []time.Duration{2 * time.Second, 5 * time.Second, 3 * time.Second} {
		must(t, connect(t, s.url(), natsbroker.AckWait(d)).DeclareQueue(t.Context(), "own", "q"))
	}
	consumer, err := js.Consumer(t.Context(), "micro~own", "q@own")
	must(t, err)
	if got := consumer.CachedInfo().Config.AckWait; got != 5*time.Second {
		t.Errorf("ack wait: got %v, want the longest, 5s", got)
	}
}

func TestOffAsksForNothing(t *testing.T) {
	s := startServer(t)
	_, js := raw(t, s.url())
	b := connect(t, s.url(), natsbroker.Provision(natsbroker.Off))
	must(t, b.DeclareQueue(t.Context(), "off", "q"))
	if n := countStreams(t, js); n != 0 {
		t.Errorf("streams: got %d, want none", n)
	}
	must(t, connect(t, s.url()).DeclareQueue(t.Context(), "off", "q"))
	in := newLedger()
	_, err := b.Subscribe(t.Context(), "off", in.handle, broker.Queue("q"))
	must(t, err)
	must(t, b.Publish(t.Context(), "off", &broker.Message{Key: "k", Body: []byte("k-0")}))
	in.await(t, "the message", func() bool { return in.handledInAll == 1 })
}

// TestDeletedConsumerIsCreatedAgain deletes what a subscription receives from.
func TestDeletedConsumerIsCreatedAgain(t *testing.T) {
	s := startServer(t)
	_, js := raw(t, s.url())
	b, in := connect(t, s.url()), newLedger()
	_, err := b.Subscribe(t.Context(), "deleted", in.handle, broker.Queue("q"))
	must(t, err)
	must(t, js.DeleteConsumer(t.Context(), "micro~deleted", "q@deleted"))
	for ready := false; !ready; { // it keeps messages again once it is there
		_, err := js.Consumer(t.Context(), "micro~deleted", "q@deleted")
		if ready = err == nil; !ready && !errors.Is(err, jetstream.ErrConsumerNotFound) {
			t.Fatal(err)
		}
	}
	must(t, b.Publish(t.Context(), "deleted", &broker.Message{Key: "k", Body: []byte("k-0")}))
	in.await(t, "the message", func() bool { return in.handledInAll == 1 })
}

func TestBroadcastConsumerEndsWithItsSubscription(t *testing.T) {
	s := startServer(t)
	_, js := raw(t, s.url())
	b := connect(t, s.url(), natsbroker.InactiveThreshold(time.Minute))
	sub, err := b.Subscribe(t.Context(), "broadcast", newLedger().handle)
	must(t, err)
	stream, err := js.Stream(t.Context(), "micro~broadcast")
	must(t, err)
	n := 0
	list := stream.ListConsumers(t.Context())
	for c := range list.Info() {
		if n++; c.Config.InactiveThreshold != time.Minute {
			t.Errorf("inactive threshold: got %v, want 1m", c.Config.InactiveThreshold)
		}
	}
	must(t, list.Err())
	must(t, sub.Unsubscribe(t.Context()))
	info, err := stream.Info(t.Context())
	must(t, err)
	if n != 1 || info.State.Consumers != 0 {
		t.Errorf("consumers: got %d, then %d, want 1, then none", n, info.State.Consumers)
	}
}

func TestWrongOptionsAreErrorsOfConnect(t *testing.T) {
	for name, opt := range map[string]broker.Option{
		"AckWait":           natsbroker.AckWait(time.Millisecond),
		"InactiveThreshold": natsbroker.InactiveThreshold(0),
		"PublishWindow":     natsbroker.PublishWindow(0),
		"NKeyFile":          natsbroker.NKeyFile("does not exist"),
	} {
		err := natsbroker.New("nats://127.0.0.1:1", opt).Connect(t.Context())
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v, want an error that names it", name, err)
		}
	}
}

// TestJetStreamIsMissing connects to a server without it.
func TestJetStreamIsMissing(t *testing.T) {
	s := startServer(t, withoutJetStream)
	err := natsbroker.New(s.url()).Connect(t.Context())
	if !errors.Is(err, jetstream.ErrJetStreamNotEnabled) && !errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount) {
		t.Errorf("got %v, want ErrJetStreamNotEnabled", err)
	}
	connect(t, s.url(), natsbroker.Core())
}
