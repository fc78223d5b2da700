package kafkabroker_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/micro-event/micro-event/runtime/broker"
	kafkabroker "github.com/micro-event/micro-event/runtime/broker/kafka"
)

func publish(t testing.TB, b broker.Broker, topic string, m *broker.Message, opts ...broker.PublishOption) error {
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	return b.Publish(ctx, topic, m, opts...)
}

func wantError(t *testing.T, what string, err error, all ...error) {
	t.Helper()
	for _, want := range all {
		if !errors.Is(err, want) {
			t.Errorf("%s: got %v, want an error that matches %v", what, err, want)
		}
	}
}

func TestAddressHasNoCredentials(t *testing.T) {
	for url, want := range map[string]string{
		"kafka://localhost":                            "kafka://localhost:9092",
		"kafka://a:1,b,[::1]:3/":                       "kafka://a:1,b:9092,[::1]:3",
		"kafkas://u:p%40ss@a:1,b:2?sasl=scram-sha-512": "kafkas://a:1,b:2",
		"kafka://user:secret@a:1?sasl=SCRAM-SHA-256":   "kafka://a:1",
		"kafka://user:secret@a:1?sasl=plain":           "kafka://a:1",
	} {
		if got := kafkabroker.New(url).Address(); got != want {
			t.Errorf("%s: got address %q, want %q", url, got, want)
		}
	}
}

func TestAWrongURLIsAnErrorOfConnect(t *testing.T) {
	for _, url := range []string{
		"", "localhost:9092", "nats://secret@a:1", "kafka://", "kafka://a:1,", "kafka://:1", "kafka://a:1/secret",
		"kafka://u:secret%zz@a:1", "kafka://u:secret@a:1?sasl=none", "kafka://u:secret@a:1?tls=1", "kafka://a:1?sasl=plain",
	} {
		err := kafkabroker.New(url).Connect(t.Context())
		if err == nil || strings.Contains(err.Error(), "u:secret") || strings.Contains(err.Error(), "secret%zz") {
			t.Errorf("connect to %q: got %v, want an error without credentials", url, err)
		}
	}
}

func TestWrongOptionsAreErrorsOfConnect(t *testing.T) {
	for name, o := range map[string]broker.Option{
		"policy":     kafkabroker.Provision(9),
		"partitions": kafkabroker.NewTopics(0, 1),
		"replicas":   kafkabroker.NewTopics(1, 0),
		"session":    kafkabroker.SessionTimeout(0),
		"rebalance":  kafkabroker.RebalanceTimeout(0),
		"batch":      kafkabroker.MaxBatchBytes(1000),
		"buffer":     kafkabroker.MaxBufferedBytes(0),
	} {
		if err := kafkabroker.New("kafka://127.0.0.1:1", o).Connect(t.Context()); err == nil || !strings.Contains(err.Error(), "want") {
			t.Errorf("%s: got %v, want what is wrong", name, err)
		}
	}
}

func TestCredentials(t *testing.T) {
	c := newCluster(t, kfake.EnableSASL(), kfake.Superuser("PLAIN", "u", "secret"),
		kfake.Superuser("SCRAM-SHA-256", "u", "secret"), kfake.Superuser("SCRAM-SHA-512", "u", "secret"))
	host := c.ListenAddrs()[0]
	for _, mechanism := range []string{"plain", "scram-sha-256", "scram-sha-512"} {
		connect(t, "kafka://u:secret@"+host+"?sasl="+mechanism)
		err := newBroker("kafka://u:wrong@" + host + "?sasl=" + mechanism).Connect(t.Context())
		if err == nil || strings.Contains(err.Error(), "wrong") { // kfake hangs up, Kafka says why
			t.Errorf("%s with a wrong password: got %v, want an error without it", mechanism, err)
		}
	}
	connect(t, "kafka://"+host, kafkabroker.Plain("u", "secret"))
	connect(t, "kafka://"+host, kafkabroker.ScramSHA256("u", "secret"))
	connect(t, "kafka://"+host, kafkabroker.ScramSHA512("u", "secret"))
}

func TestCredentialsOfARealServer(t *testing.T) {
	url := variable(t, saslVariable)
	for _, mechanism := range []string{"plain", "scram-sha-256", "scram-sha-512"} {
		connect(t, url+"?sasl="+mechanism)
		wrong := strings.Replace(url, "@", "x@", 1)
		err := newBroker(wrong + "?sasl=" + mechanism).Connect(t.Context())
		wantError(t, mechanism+" with a wrong password", err, kerr.SaslAuthenticationFailed)
	}
}

func TestServerThatIsAbsentAtStart(t *testing.T) {
	c := newCluster(t)
	b, restore := newBroker(c.url()), c.listener.cut(t)
	if err := b.Connect(t.Context()); err == nil {
		t.Fatal("connect without a server: got nil, want an error")
	}
	err := b.Publish(t.Context(), "t", &broker.Message{})
	wantError(t, "publish", err, broker.ErrNotConnected, broker.ErrNotDelivered)
	restore()
	must(t, b.Connect(t.Context()))
	must(t, b.Disconnect(t.Context()))
}

func TestUnknownTopicHasNoSubscribers(t *testing.T) {
	b := connect(t, newCluster(t).url())
	err := publish(t, b, "unknown", &broker.Message{Body: []byte("x")})
	wantError(t, "publish", err, broker.ErrNoSubscribers, broker.ErrNotDelivered, kerr.UnknownTopicOrPartition)
}

func TestIllegalTopic(t *testing.T) {
	c := newCluster(t)
	c.ControlKey(int16(kmsg.CreateTopics), func(r kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		response := r.ResponseKind().(*kmsg.CreateTopicsResponse)
		topic := kmsg.NewCreateTopicsResponseTopic()
		topic.Topic, topic.ErrorCode = "a.b", kerr.InvalidTopicException.Code
		response.Topics = append(response.Topics, topic)
		return response, nil, true
	})
	_, err := connect(t, c.url()).Subscribe(t.Context(), "a.b", nothing, broker.Queue("q"))
	wantError(t, "subscribe", err, broker.ErrInvalidTopic)
}

// Kafka takes two topics that differ only by "." and "_" for one in its metrics
// and so refuses the second.
func TestIllegalTopicOfARealServer(t *testing.T) {
	b, topic := connect(t, variable(t, serverVariable)), uniqueTopic()
	subscribe(t, b, topic, nothing, broker.Queue("q"))
	_, err := b.Subscribe(t.Context(), strings.ReplaceAll(topic, ".", "_"), nothing, broker.Queue("q"))
	wantError(t, "subscribe", err, broker.ErrInvalidTopic)
}

func nothing(context.Context, *broker.Delivery) error { return nil }

func TestMessageThatTheTopicDoesNotTake(t *testing.T) {
	tooLarge(t, newCluster(t).url())
}

func TestMessageThatTheTopicOfARealServerDoesNotTake(t *testing.T) {
	tooLarge(t, variable(t, serverVariable))
}

// tooLarge raises the limit of the client above that of the server.
func tooLarge(t *testing.T, url string) {
	b, topic := connect(t, url, kafkabroker.MaxBatchBytes(4<<20)), uniqueTopic()
	handled := make(chan int, 2)
	subscribe(t, b, topic, func(_ context.Context, d *broker.Delivery) error {
		handled <- len(d.Message.Body)
		return nil
	}, broker.Queue("q"))
	body := make([]byte, 2<<20)
	_, err := rand.Read(body) // or compression would make it small
	must(t, err)
	wantError(t, "publish", publish(t, b, topic, &broker.Message{Body: body}), broker.ErrTooLarge, broker.ErrRejected)
	must(t, publish(t, b, topic, &broker.Message{Body: []byte("small")}))
	if got := <-handled; got != len("small") {
		t.Errorf("handled a body of %d bytes, want the small one", got)
	}
}

func TestProvisioning(t *testing.T) {
	c := newCluster(t)
	verify := connect(t, c.url(), kafkabroker.Provision(kafkabroker.Verify))
	for _, queue := range []string{"q", ""} {
		_, err := verify.Subscribe(t.Context(), "t", nothing, broker.Queue(queue))
		wantError(t, "subscribe with Verify, queue "+queue, err, kerr.UnknownTopicOrPartition)
	}
	off, handled := connect(t, c.url(), kafkabroker.Provision(kafkabroker.Off)), make(chan string, 2)
	for _, queue := range []string{"q", ""} {
		subscribe(t, off, "t", func(context.Context, *broker.Delivery) error {
			handled <- queue
			return nil
		}, broker.Queue(queue))
	}
	auto := connect(t, c.url(), kafkabroker.NewTopics(3, 1))
	must(t, auto.DeclareQueue(t.Context(), "t", "other"))
	if got := len(c.PartitionInfos("t")); got != 3 {
		t.Errorf("partitions: got %d, want 3", got)
	}
	must(t, publish(t, auto, "t", &broker.Message{Key: "k"}))
	if a, b := <-handled, <-handled; a == b {
		t.Errorf("handled twice by queue %q", a)
	}
	must(t, verify.DeclareQueue(t.Context(), "t", "q"))
}

// A publisher whose server is away has room for one message only.
func TestBackpressure(t *testing.T) {
	c := newCluster(t)
	b := connect(t, c.url(), kafkabroker.MaxBufferedBytes(600))
	must(t, b.DeclareQueue(t.Context(), "t", "q"))
	must(t, publish(t, b, "t", &broker.Message{Key: "k"}))
	restore := c.listener.cut(t)
	waiting := func(opts ...broker.PublishOption) error {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		return b.Publish(ctx, "t", &broker.Message{Key: "k"}, opts...)
	}
	wantError(t, "publish without a server", waiting(), broker.ErrUncertain, context.DeadlineExceeded)
	wantError(t, "publish without room", waiting(), broker.ErrNotDelivered, context.DeadlineExceeded)
	wantError(t, "publish that may not wait", waiting(broker.NoWait()), broker.ErrNotDelivered, broker.ErrBackpressure)
	restore()
	must(t, publish(t, b, "t", &broker.Message{Key: "k"}))
}

// A handler takes longer than the session of a silent member would last.
func TestSlowHandlerKeepsItsPartition(t *testing.T) {
	b := connect(t, newCluster(t).url(), kafkabroker.SessionTimeout(time.Minute))
	patient := kafkabroker.New(b.Address(), kafkabroker.SessionTimeout(300*time.Millisecond))
	must(t, patient.Connect(t.Context()))
	defer func() { must(t, patient.Disconnect(context.Background())) }()
	calls := make(chan string, 10)
	subscribe(t, patient, "t", func(_ context.Context, d *broker.Delivery) error {
		calls <- string(d.Message.Body)
		if string(d.Message.Body) == "slow" {
			<-time.After(time.Second)
		}
		return nil
	}, broker.Queue("q"))
	for _, body := range []string{"slow", "next"} {
		must(t, publish(t, b, "t", &broker.Message{Key: "k", Body: []byte(body)}))
	}
	if first, second := <-calls, <-calls; first != "slow" || second != "next" {
		t.Errorf("handled %q, then %q, want slow, then next", first, second)
	}
}

// The group forgets a member in the middle of an attempt. What runs must not be
// committed by the member that lost it, and is delivered again.
func TestLostPartitionsAreNotCommitted(t *testing.T) {
	c := newCluster(t)
	b := connect(t, c.url())
	began, release := make(chan int, 10), make(chan struct{})
	h := func(_ context.Context, d *broker.Delivery) error {
		began <- d.Attempt
		<-release
		return nil
	}
	sub := subscribe(t, b, "t", h, broker.Queue("q"), broker.MaxInFlight(2))
	must(t, publish(t, b, "t", &broker.Message{Body: []byte("x")}))
	<-began
	c.ControlKey(int16(kmsg.Heartbeat), func(r kmsg.Request) (kmsg.Response, error, bool) {
		response := r.ResponseKind().(*kmsg.HeartbeatResponse)
		response.ErrorCode = kerr.UnknownMemberID.Code
		return response, nil, true
	})
	if attempt := <-began; attempt != 1 {
		t.Errorf("delivered again as attempt %d, want 1", attempt)
	}
	close(release)
	must(t, sub.Unsubscribe(t.Context()))
	handled := make(chan string, 10)
	subscribe(t, b, "t", func(_ context.Context, d *broker.Delivery) error {
		handled <- string(d.Message.Body)
		return nil
	}, broker.Queue("q"))
	must(t, publish(t, b, "t", &broker.Message{Body: []byte("fence")}))
	if got := <-handled; got != "fence" {
		t.Errorf("%q was delivered a third time", got)
	}
}

func TestHeadersOnTheWire(t *testing.T) {
	c := newCluster(t)
	b, got := connect(t, c.url()), make(chan broker.Message, 2)
	subscribe(t, b, "t", func(_ context.Context, d *broker.Delivery) error {
		got <- d.Message
		return nil
	}, broker.Queue("q"))
	sent := &broker.Message{Key: "k", Header: broker.Header{
		"ce-id": "1", "ce-source": "s", "ce-type": "t", "ce-extension": "e", "ce_id": "literal",
		"micro-literal-x": "y", "content-type": "application/protobuf",
	}}
	must(t, publish(t, b, "t", sent))
	if m := <-got; !maps.Equal(m.Header, sent.Header) {
		t.Errorf("headers: got %v, want %v", m.Header, sent.Header)
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...), kgo.ConsumeTopics("t"), kgo.DefaultProduceTopic("t"))
	must(t, err)
	defer client.Close()
	record := client.PollFetches(t.Context()).Records()[0]
	wire := make(map[string]string)
	for _, h := range record.Headers {
		wire[h.Key] = string(h.Value)
	}
	want := map[string]string{
		"ce_specversion": "1.0", "ce_id": "1", "ce_source": "s", "ce_type": "t", "ce_extension": "e",
		"micro-literal-ce_id": "literal", "micro-literal-micro-literal-x": "y", "content-type": "application/protobuf",
	}
	if !maps.Equal(wire, want) {
		t.Errorf("on the wire: got %v, want %v", wire, want)
	}
	if record.Value == nil {
		t.Error("an empty body is null, which deletes the key of a compacted topic")
	}
	foreign := &kgo.Record{Key: []byte("k"), Value: []byte("v"), Headers: []kgo.RecordHeader{
		{Key: "ce_specversion", Value: []byte("1.0")}, {Key: "ce_id", Value: []byte("first")}, {Key: "ce_id", Value: []byte("last")},
	}}
	must(t, client.ProduceSync(t.Context(), foreign).FirstErr())
	m := <-got
	if !maps.Equal(m.Header, broker.Header{"ce-id": "last"}) || m.Key != "k" || !bytes.Equal(m.Body, []byte("v")) {
		t.Errorf("foreign event: got %v", m)
	}
}

// The partitions of keys are those that the Java client chooses.
func TestKeysLieWhereTheJavaClientPutsThem(t *testing.T) {
	c := newCluster(t, kfake.DefaultNumPartitions(7))
	b := connect(t, c.url())
	must(t, b.DeclareQueue(t.Context(), "t", "q"))
	for key, murmur2 := range map[string]int32{ // from the tests of the Java client
		"21": -973932308, "foobar": -790332482, "a-little-bit-long-string": -985981536,
		"a-little-bit-longer-string": -1486304829, "abc": 479470107,
	} {
		partition := (murmur2 & 0x7fffffff) % 7
		before := c.PartitionInfo("t", partition).HighWatermark
		must(t, publish(t, b, "t", &broker.Message{Key: key}))
		if after := c.PartitionInfo("t", partition).HighWatermark; after != before+1 {
			t.Errorf("key %q does not lie in partition %d", key, partition)
		}
	}
}

func TestBatchIsPublishedInOrder(t *testing.T) {
	b := connect(t, newCluster(t).url())
	handled := make(chan string, 100)
	subscribe(t, b, "t", func(_ context.Context, d *broker.Delivery) error {
		handled <- string(d.Message.Body)
		return nil
	}, broker.Queue("q"))
	var ms []*broker.Message
	for i := range 100 {
		ms = append(ms, &broker.Message{Key: "k", Body: []byte{byte(i)}})
	}
	if errs := b.PublishBatch(t.Context(), "t", ms); errs != nil {
		t.Fatal(errs)
	}
	for i := range 100 {
		if got := <-handled; got != string([]byte{byte(i)}) {
			t.Fatalf("message %d: got %q", i, got)
		}
	}
	if errs := b.PublishBatch(t.Context(), "unknown", ms[:2]); len(errs) != 2 || !errors.Is(errs[1], broker.ErrNoSubscribers) {
		t.Errorf("batch to an unknown topic: got %v", errs)
	}
}

// Servers let the first member of a group wait for others, for three seconds by
// default, which is longer than Redrive waits for a message.
func TestRedriveWaitsForTheGroup(t *testing.T) {
	c := newCluster(t)
	b, again := connect(t, c.url()), make(chan struct{}, 1)
	healed := make(chan struct{})
	sub := subscribe(t, b, "t", func(context.Context, *broker.Delivery) error {
		select {
		case <-healed:
			again <- struct{}{}
			return nil
		default:
			return broker.Permanent(errors.New("ill"))
		}
	}, broker.Queue("q"), broker.DeadLetter("dead"))
	must(t, publish(t, b, "t", &broker.Message{Key: "k"}))
	for c.PartitionInfo("dead", 0).HighWatermark == 0 {
		<-time.After(5 * time.Millisecond)
	}
	close(healed)
	c.ControlKey(int16(kmsg.JoinGroup), func(kmsg.Request) (kmsg.Response, error, bool) {
		<-time.After(1200 * time.Millisecond)
		return nil, nil, false
	})
	if n, err := b.Redrive(t.Context(), "dead"); n != 1 || err != nil {
		t.Errorf("redrive: got %d messages and %v, want 1", n, err)
	}
	<-again
	must(t, sub.Unsubscribe(t.Context()))
}
