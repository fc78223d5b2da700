package redisbroker_test

import (
	"context"
	"crypto/tls"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/micro-event/micro-event/runtime/broker"
	redisbroker "github.com/micro-event/micro-event/runtime/broker/redis"
)

// client returns one of the library, to look behind the driver.
func client(t testing.TB, url string) rueidis.Client {
	t.Helper()
	o, err := rueidis.ParseURL(url)
	must(t, err)
	o.DisableCache, o.ForceSingleClient = true, true
	c, err := rueidis.NewClient(o)
	must(t, err)
	t.Cleanup(c.Close)
	return c
}

// do executes a command.
func do(t testing.TB, c rueidis.Client, words ...string) rueidis.RedisResult {
	t.Helper()
	r := c.Do(t.Context(), c.B().Arbitrary(words...).Build())
	if err := r.Error(); err != nil && !rueidis.IsRedisNil(err) {
		t.Fatalf("%q: %v", words, err)
	}
	return r
}

func TestBadURLsAndOptions(t *testing.T) {
	for _, test := range []struct {
		url  string
		opt  broker.Option
		want string
	}{
		{"http://user:secret@host", nil, "want a URL like redis://"},
		{"redis://user:secret@", nil, "want a URL like redis://"},
		{"redis://user:secret@host/x", nil, "invalid database"},
		{"redis://host", redisbroker.AckWait(time.Millisecond), "AckWait: got 1ms, want at least 1s"},
		{"redis://host", redisbroker.InactiveThreshold(0), "InactiveThreshold: got 0s, want at least 1s"},
	} {
		var opts []broker.Option
		if test.opt != nil {
			opts = append(opts, test.opt)
		}
		b := redisbroker.New(test.url, opts...)
		err := b.Connect(t.Context())
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: got %v, want %q and no password", test.url, err, test.want)
		}
		if strings.Contains(b.Address(), "secret") {
			t.Errorf("address: got %s, want no password", b.Address())
		}
	}
}

func TestPasswords(t *testing.T) {
	m := startMini(t)
	m.RequireUserAuth("orders", "secret")
	connect(t, "redis://orders:secret@"+m.Addr())
	connect(t, miniURL(m), redisbroker.ClientOptions(func(o *rueidis.ClientOption) {
		o.Username, o.Password = "orders", "secret"
	}))
	for _, url := range []string{"redis://orders:wrong@" + m.Addr(), miniURL(m)} {
		err := redisbroker.New(url).Connect(t.Context())
		if answer, ok := errors.AsType[*rueidis.RedisError](err); !ok {
			t.Errorf("%s: got %v, want the server's refusal", url, err)
		} else {
			t.Log(answer)
		}
	}
}

// TestTLSIsSpoken connects to a server that does not speak it.
func TestTLSIsSpoken(t *testing.T) {
	m := startMini(t)
	for url, opts := range map[string][]broker.Option{
		"rediss://" + m.Addr(): nil,
		miniURL(m):             {redisbroker.TLS(&tls.Config{MinVersion: tls.VersionTLS13})},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		err := redisbroker.New(url, opts...).Connect(ctx)
		cancel()
		if err == nil {
			t.Errorf("%s: connected without TLS", url)
		}
	}
}

func TestATopicWithoutQueue(t *testing.T) {
	m := startMini(t)
	b := connect(t, miniURL(m))
	err := b.Publish(t.Context(), "t", &broker.Message{})
	if !errors.Is(err, broker.ErrNoSubscribers) || !errors.Is(err, broker.ErrNotDelivered) {
		t.Errorf("got %v, want ErrNoSubscribers and ErrNotDelivered", err)
	}
	if keys := m.Keys(); len(keys) > 0 {
		t.Errorf("keys on the server: got %q, want none", keys)
	}
}

// TestNothingStays shows that a broadcast leaves nothing behind.
func TestNothingStays(t *testing.T) {
	m := startMini(t)
	b := connect(t, miniURL(m))
	sub, err := b.Subscribe(t.Context(), "t", func(context.Context, *broker.Delivery) error { return nil })
	must(t, err)
	must(t, b.Publish(t.Context(), "t", &broker.Message{}))
	must(t, sub.Unsubscribe(t.Context()))
	if keys := m.Keys(); len(keys) > 0 {
		t.Errorf("keys on the server: got %q, want none", keys)
	}
}

// TestHandledMessagesAreRemovedFromARealServer handles many messages in one queue
// and leaves them in another one. The stream keeps those until that queue is
// removed.
func TestHandledMessagesAreRemovedFromARealServer(t *testing.T) {
	url, topic := variable(t, serverVariable), "redisbroker.removed"
	c, b := client(t, url), connect(t, url)
	stream := "micro-event:{" + topic + "}"
	do(t, c, "DEL", stream)
	must(t, b.DeclareQueue(t.Context(), topic, "idle"))
	const n = 1000
	handled := make(chan struct{}, n)
	subscribe := func() broker.Subscriber {
		sub, err := b.Subscribe(t.Context(), topic, func(context.Context, *broker.Delivery) error {
			handled <- struct{}{}
			return nil
		}, broker.Queue("busy"), broker.MaxInFlight(8))
		must(t, err)
		return sub
	}
	sub := subscribe()
	ms := make([]*broker.Message, n)
	for i := range ms {
		ms[i] = &broker.Message{Body: []byte("b")}
	}
	if errs := b.PublishBatch(t.Context(), topic, ms); errs != nil {
		t.Fatal(errors.Join(errs...))
	}
	for range n {
		<-handled
	}
	must(t, sub.Unsubscribe(t.Context())) // it tidies up
	length := func() int64 {
		l, err := do(t, c, "XLEN", stream).AsInt64()
		must(t, err)
		return l
	}
	if got := length(); got != n {
		t.Errorf("with a queue that has handled nothing: got %d messages, want %d", got, n)
	}
	do(t, c, "XGROUP", "DESTROY", stream, "queue:idle")
	must(t, subscribe().Unsubscribe(t.Context()))
	if got := length(); got > 100 { // whole nodes of the stream are removed
		t.Errorf("when all have handled all: got %d messages, want at most 100", got)
	}
	consumers, err := do(t, c, "XINFO", "CONSUMERS", stream, "queue:busy").ToArray()
	must(t, err)
	if len(consumers) > 0 {
		t.Errorf("consumers that are gone: got %d, want 0", len(consumers))
	}
}

// TestAFullRealServer lets the server refuse for want of memory.
func TestAFullRealServer(t *testing.T) {
	url, topic := variable(t, serverVariable), "redisbroker.full"
	c, b := client(t, url), connect(t, url)
	must(t, b.DeclareQueue(t.Context(), topic, "q"))
	do(t, c, "CONFIG", "SET", "maxmemory", "1")
	room := func() { c.Do(context.Background(), c.B().Arbitrary("CONFIG", "SET", "maxmemory", "0").Build()) }
	t.Cleanup(room)
	err := b.Publish(t.Context(), topic, &broker.Message{}, broker.NoWait())
	if !errors.Is(err, broker.ErrBackpressure) || !errors.Is(err, broker.ErrNotDelivered) {
		t.Errorf("with NoWait: got %v, want ErrBackpressure and ErrNotDelivered", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err = b.Publish(ctx, topic, &broker.Message{})
	if !errors.Is(err, broker.ErrNotDelivered) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("until the context ends: got %v, want ErrNotDelivered and DeadlineExceeded", err)
	}
	published := make(chan error, 1)
	go func() { published <- b.Publish(t.Context(), topic, &broker.Message{}) }()
	room()
	must(t, <-published)
}

// TestATrimmedMessageOfARealServerIsDeadLettered lets somebody trim the stream under
// a message that a member had and gave back.
func TestATrimmedMessageOfARealServerIsDeadLettered(t *testing.T) {
	url, topic := variable(t, serverVariable), "redisbroker.trimmed"
	stream := "micro-event:{" + topic + "}"
	c := client(t, url)
	do(t, c, "DEL", stream)
	b := connect(t, url)
	must(t, b.DeclareQueue(t.Context(), topic, "q"))
	must(t, b.Publish(t.Context(), topic, &broker.Message{Body: []byte("b")}))
	entry, err := do(t, c, "XRANGE", stream, "-", "+").AsXRange()
	must(t, err)
	do(t, c, "XREADGROUP", "GROUP", "queue:q", "other", "STREAMS", stream, ">")
	do(t, c, "XCLAIM", stream, "queue:q", "other", "0", entry[0].ID, "IDLE", "100000", "JUSTID")
	do(t, c, "XTRIM", stream, "MAXLEN", "0")
	dead := make(chan broker.Message, 1)
	_, err = b.Subscribe(t.Context(), topic+".dead", func(_ context.Context, d *broker.Delivery) error {
		dead <- d.Message
		return nil
	})
	must(t, err)
	_, err = b.Subscribe(t.Context(), topic, func(context.Context, *broker.Delivery) error {
		t.Error("the handler was called")
		return nil
	}, broker.Queue("q"), broker.DeadLetter(topic+".dead"))
	must(t, err)
	if cause := (<-dead).Header["micro-dead-letter-cause"]; !strings.Contains(cause, "trimmed") {
		t.Errorf("cause: got %q, want one that says that the stream was trimmed", cause)
	}
}
