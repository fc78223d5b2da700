package natsbroker_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/micro-event/micro-event/runtime/broker"
	"github.com/micro-event/micro-event/runtime/broker/brokertest"
	natsbroker "github.com/micro-event/micro-event/runtime/broker/nats"
)

const patience = 20 * time.Second

// connect returns a connected broker that is disconnected when the test ends.
func connect(t testing.TB, url string, opts ...broker.Option) *broker.Engine {
	t.Helper()
	b := natsbroker.New(url, append(opts, broker.WithLogger(slog.New(slog.DiscardHandler)))...)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := b.Connect(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := b.Disconnect(ctx); err != nil {
			t.Errorf("disconnect: %v", err)
		}
	})
	return b
}

// ledger compares what publishers were told with what handlers got.
type ledger struct {
	mu                sync.Mutex
	changed           chan struct{}
	taken, never      []string
	uncertain         int
	handled           map[string]int   // how often
	order             map[string][]int // of each key, the numbers that were handled
	handledInAll, dup int
}

func newLedger() *ledger {
	return &ledger{changed: make(chan struct{}, 1), handled: map[string]int{}, order: map[string][]int{}}
}

func (l *ledger) handle(_ context.Context, d *broker.Delivery) error {
	id := string(d.Message.Body)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.handledInAll++
	if l.handled[id]++; l.handled[id] > 1 {
		l.dup++
	} else {
		var n int
		if _, err := fmt.Sscanf(id, d.Message.Key+"-%d", &n); err != nil {
			return broker.Permanent(err)
		}
		l.order[d.Message.Key] = append(l.order[d.Message.Key], n)
	}
	select {
	case l.changed <- struct{}{}:
	default:
	}
	return nil
}

func (l *ledger) await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(2 * patience)
	for {
		l.mu.Lock()
		done := ok()
		l.mu.Unlock()
		if done {
			return
		}
		select {
		case <-l.changed:
		case <-deadline:
			t.Fatalf("waited %v for %s", 2*patience, what)
		}
	}
}

// publish publishes the messages of one key and notes what it is told.
func (l *ledger) publish(t *testing.T, b *broker.Engine, topic, key string, n int) {
	for i := range n {
		id := fmt.Sprintf("%s-%d", key, i)
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		err := b.Publish(ctx, topic, &broker.Message{Key: key, Body: []byte(id)})
		cancel()
		l.mu.Lock()
		switch {
		case err == nil:
			l.taken = append(l.taken, id)
		case errors.Is(err, broker.ErrUncertain):
			l.uncertain++
		default:
			l.never = append(l.never, id)
		}
		l.mu.Unlock()
	}
}

// check compares all of it, the order of each key included.
func (l *ledger) check(t *testing.T) {
	t.Helper()
	l.checkOutcomes(t)
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, numbers := range l.order {
		for i := 1; i < len(numbers); i++ {
			if numbers[i] < numbers[i-1] {
				t.Errorf("key %s: %d was handled after %d", key, numbers[i], numbers[i-1])
			}
		}
	}
}

// checkOutcomes compares what publishers were told with what was handled.
func (l *ledger) checkOutcomes(t *testing.T) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range l.taken {
		if l.handled[id] == 0 {
			t.Errorf("%s was taken and not handled", id)
		}
	}
	for _, id := range l.never {
		if l.handled[id] > 0 {
			t.Errorf("%s was handled, although its Publish had certainly failed", id)
		}
	}
	t.Logf("taken %d, uncertain %d, certainly not %d; handled %d times, %d of them again",
		len(l.taken), l.uncertain, len(l.never), l.handledInAll, l.dup)
}

// faults breaks a server at url, which restart ends and starts.
func faults(url string, restart func(testing.TB)) brokertest.Faults {
	return brokertest.Faults{
		URL: url, Open: openBroker, Restart: restart,
		UnorderedCuts: true, // what was on its way comes again after the ack wait
	}
}

// openBroker makes a broker with a short ack clock.
func openBroker(url string, opts ...broker.Option) broker.Broker {
	return natsbroker.New(url, append(opts, natsbroker.AckWait(time.Second))...)
}

func TestFaults(t *testing.T) {
	s := startServer(t)
	brokertest.RunFaults(t, faults(s.url(), func(t testing.TB) { s.interrupt(t)() }))
}

// TestPublishWaitsForTheConnection publishes while the server is down.
func TestPublishWaitsForTheConnection(t *testing.T) {
	for name, opts := range map[string][]broker.Option{"JetStream": nil, "core": {natsbroker.Core()}} {
		t.Run(name, func(t *testing.T) {
			s, l := startServer(t), newLedger()
			lost := make(chan error, 10)
			b := connect(t, s.url(), append(opts, broker.WithHooks(broker.Hooks{
				Lost: func(_ string, err error) { lost <- err },
			}))...)
			const topic = "faults.wait"
			if _, err := b.Subscribe(t.Context(), topic, l.handle, broker.Queue("q")); err != nil {
				t.Fatal(err)
			}
			restore := s.interrupt(t)
			t.Logf("lost: %v", <-lost)
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			err := b.Publish(ctx, topic, &broker.Message{Key: "k", Body: []byte("k-0")})
			if !errors.Is(err, broker.ErrNotDelivered) || !errors.Is(err, broker.ErrNotConnected) || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("publish while the server is down: got %v, want ErrNotDelivered, ErrNotConnected and DeadlineExceeded", err)
			}
			published := make(chan error, 1)
			go func() { published <- b.Publish(t.Context(), topic, &broker.Message{Key: "k", Body: []byte("k-1")}) }()
			restore()
			if err := <-published; err != nil {
				t.Errorf("publish that waited for the server: %v", err)
			}
			l.await(t, "the message that waited", func() bool { return l.handled["k-1"] == 1 })
			if l.handled["k-0"] > 0 {
				t.Error("the message whose Publish had certainly failed was handled")
			}
		})
	}
}

func TestServerAbsentAtStart(t *testing.T) {
	var lc net.ListenConfig
	free, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := free.Addr().(*net.TCPAddr).Port
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	b := natsbroker.New(fmt.Sprintf("nats://127.0.0.1:%d", port), broker.WithLogger(slog.New(slog.DiscardHandler)))
	if err := b.Connect(t.Context()); err == nil {
		t.Fatal("connect without a server: got nil, want an error")
	}
	if err := b.Publish(t.Context(), "t", &broker.Message{}); !errors.Is(err, broker.ErrNotConnected) {
		t.Errorf("publish: got %v, want ErrNotConnected", err)
	}
	startServer(t, func(o *server.Options) { o.Port = port })
	if err := b.Connect(t.Context()); err != nil {
		t.Errorf("connect when the server is there: %v", err)
	}
	if err := b.Disconnect(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestConnectEndsWithItsContext connects to a server that never says a word.
func TestConnectEndsWithItsContext(t *testing.T) {
	var lc net.ListenConfig
	mute, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { must(t, mute.Close()) })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	b := natsbroker.New("nats://" + mute.Addr().String())
	err = b.Connect(ctx)
	if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, broker.ErrNotConnected) {
		t.Errorf("got %v, want DeadlineExceeded and ErrNotConnected", err)
	}
}

func TestMessageTooLarge(t *testing.T) {
	s := startServer(t, func(o *server.Options) { o.MaxPayload = 64 << 10 })
	b, l := connect(t, s.url()), newLedger()
	if _, err := b.Subscribe(t.Context(), "large", l.handle, broker.Queue("q")); err != nil {
		t.Fatal(err)
	}
	limit := b.Info().MaxMessageBytes
	if want := 56 << 10; limit != want {
		t.Errorf("MaxMessageBytes: got %d, want %d", limit, want)
	}
	for name, m := range map[string]*broker.Message{
		"body over the limit":         {Body: make([]byte, limit+1)},
		"body and headers over it":    {Body: make([]byte, limit), Header: broker.Header{"h": strings.Repeat("v", 9<<10)}},
		"no room for a dead letter's": {Body: make([]byte, limit), Header: broker.Header{"h": strings.Repeat("v", 5<<10)}},
	} {
		err := b.Publish(t.Context(), "large", m)
		if !errors.Is(err, broker.ErrTooLarge) || !errors.Is(err, broker.ErrRejected) {
			t.Errorf("%s: got %v, want ErrTooLarge and ErrRejected", name, err)
		}
	}
	if err := b.Publish(t.Context(), "large", &broker.Message{Key: "k", Body: []byte("k-0")}); err != nil {
		t.Fatal(err)
	}
	l.await(t, "the message within the limit", func() bool { return l.handledInAll == 1 })
}

// TestSlowConsumer lets 1,000 messages arrive behind a handler that does not end,
// at a member that takes one at a time, and gives the rest to another one.
func TestSlowConsumer(t *testing.T) {
	s, l := startServer(t), newLedger()
	slow, other := connect(t, s.url(), natsbroker.AckWait(time.Second)), connect(t, s.url(), natsbroker.AckWait(time.Second))
	const topic, n = "faults.slow", 1000
	entered, release := make(chan struct{}, 10), make(chan struct{})
	_, err := slow.Subscribe(t.Context(), topic, func(ctx context.Context, d *broker.Delivery) error {
		entered <- struct{}{}
		<-release
		return l.handle(ctx, d)
	}, broker.Queue("q"))
	if err != nil {
		t.Fatal(err)
	}
	l.publish(t, other, topic, "k", 1)
	<-entered
	var ms []*broker.Message
	for i := range n {
		ms = append(ms, &broker.Message{Key: "other", Body: fmt.Appendf(nil, "other-%d", i)})
	}
	if errs := other.PublishBatch(t.Context(), topic, ms); errs != nil {
		t.Fatal(errors.Join(errs...))
	}
	if _, err := other.Subscribe(t.Context(), topic, l.handle, broker.Queue("q")); err != nil {
		t.Fatal(err)
	}
	l.await(t, "all messages but the slow one", func() bool { return len(l.order["other"]) == n })
	close(release)
	l.await(t, "the slow one", func() bool { return l.handledInAll == n+1 })
	l.check(t)
	if l.dup > 0 {
		t.Errorf("delivered again: got %d, want 0", l.dup)
	}
}

// TestMemberDies lets one of two members vanish with messages in flight: the
// other one gets them after the ack wait.
func TestMemberDies(t *testing.T) {
	s, l := startServer(t), newLedger()
	p := brokertest.StartProxy(t, strings.TrimPrefix(s.url(), "nats://"))
	const topic, n = "faults.dies", 200
	dying := connect(t, "nats://"+p.Address(), natsbroker.AckWait(time.Second))
	other := connect(t, s.url(), natsbroker.AckWait(time.Second))
	held := make(chan struct{}, n)
	forever := make(chan struct{})
	_, err := dying.Subscribe(t.Context(), topic, func(context.Context, *broker.Delivery) error {
		held <- struct{}{}
		<-forever
		return nil
	}, broker.Queue("q"), broker.MaxInFlight(4))
	must(t, err)
	for i := range 4 {
		l.publish(t, other, topic, fmt.Sprint("held", i), 1)
	}
	for range 4 {
		<-held
	}
	_, err = other.Subscribe(t.Context(), topic, l.handle, broker.Queue("q"), broker.MaxInFlight(4))
	must(t, err)
	p.Interrupt(t)
	for i := range n / 10 {
		l.publish(t, other, topic, fmt.Sprint("key", i), 10)
	}
	l.await(t, "all messages", func() bool { return len(l.handled) == n+4 })
	l.check(t)
	close(forever)
}
