package httpbroker_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/micro-event/micro-event/runtime/broker"
	httpbroker "github.com/micro-event/micro-event/runtime/broker/http"
)

// connect returns a connected broker that is disconnected when the test ends.
func connect(t testing.TB, r httpbroker.Registry, opts ...broker.Option) *broker.Engine {
	t.Helper()
	b := httpbroker.New(append([]broker.Option{httpbroker.WithRegistry(r)}, opts...)...)
	if err := b.Connect(context.Background()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := b.Disconnect(ctx); err != nil {
			t.Errorf("disconnect: %v", err)
		}
	})
	return b
}

func subscribe(t testing.TB, b *broker.Engine, topic string, h broker.Handler, opts ...broker.SubscribeOption) broker.Subscriber {
	t.Helper()
	s, err := b.Subscribe(context.Background(), topic, h, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestDeliversBetweenTwoBrokers(t *testing.T) {
	r := httpbroker.NewMemoryRegistry()
	var handled atomic.Int64
	count := func(context.Context, *broker.Delivery) error {
		handled.Add(1)
		return nil
	}
	subscribe(t, connect(t, r), "orders", count, broker.Queue("billing"), broker.MaxInFlight(4))
	b := connect(t, r)
	const publishers, each = 16, 50
	var wg sync.WaitGroup
	for p := range publishers {
		wg.Go(func() {
			for i := range each {
				m := &broker.Message{Key: fmt.Sprint(p), Body: []byte(fmt.Sprint(i))}
				if err := b.Publish(t.Context(), "orders", m); err != nil {
					t.Errorf("publish: %v", err)
				}
			}
		})
	}
	wg.Wait()
	if got := handled.Load(); got != publishers*each {
		t.Errorf("handled: got %d, want %d", got, publishers*each)
	}
}

func TestNoSubscribers(t *testing.T) {
	b := connect(t, httpbroker.NewMemoryRegistry())
	err := b.Publish(t.Context(), "orders", &broker.Message{})
	if !errors.Is(err, broker.ErrNoSubscribers) || !errors.Is(err, broker.ErrNotDelivered) {
		t.Errorf("got %v, want ErrNoSubscribers", err)
	}
}

// hold is a handler that waits until it is released.
type hold struct {
	began   chan string
	release chan struct{}
}

func newHold() *hold { return &hold{began: make(chan string, 1000), release: make(chan struct{})} }

func (h *hold) handle(ctx context.Context, d *broker.Delivery) error {
	h.began <- string(d.Message.Body)
	select {
	case <-h.release:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func ignore(context.Context, *broker.Delivery) error { return nil }

func within(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

const long = 10 * time.Second

func TestRepeatedPublishJoinsTheRunningAttempt(t *testing.T) {
	r := httpbroker.NewMemoryRegistry()
	h := newHold()
	subscribe(t, connect(t, r), "orders", h.handle, broker.Queue("billing"), broker.MaxInFlight(4))
	m := &broker.Message{Header: broker.Header{"ce-id": "1", "ce-source": "shop"}, Body: []byte("b")}
	first, second := connect(t, r), connect(t, r)
	errs := make(chan error, 2)
	go func() { errs <- first.Publish(within(t, long), "orders", m) }()
	<-h.began
	err := second.Publish(within(t, 50*time.Millisecond), "orders", m) // it joins, and runs out of time
	if !errors.Is(err, broker.ErrUncertain) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a repetition of one that runs: got %v, want ErrUncertain and DeadlineExceeded", err)
	}
	go func() { errs <- second.Publish(within(t, long), "orders", m) }()
	close(h.release)
	for range 2 {
		if err := <-errs; err != nil {
			t.Errorf("publish: %v", err)
		}
	}
	if err := second.Publish(within(t, long), "orders", m); err != nil {
		t.Errorf("a repetition of one that is done: %v", err)
	}
	other := &broker.Message{Header: m.Header, Body: []byte("other")}
	if err := second.Publish(within(t, long), "orders", other); !errors.Is(err, broker.ErrRejected) {
		t.Errorf("the same id with another body: got %v, want ErrRejected", err)
	}
	if n := len(h.began); n != 0 {
		t.Errorf("further calls of the handler: got %d, want 0", n)
	}
}

func TestDroppedMessageIsRejected(t *testing.T) {
	r := httpbroker.NewMemoryRegistry()
	cause := errors.New("no such order")
	subscribe(t, connect(t, r), "orders", func(context.Context, *broker.Delivery) error {
		return broker.Permanent(cause)
	}, broker.Queue("billing"))
	err := connect(t, r).Publish(within(t, long), "orders", &broker.Message{})
	if !errors.Is(err, broker.ErrRejected) {
		t.Errorf("got %v, want ErrRejected", err)
	}
	if err == nil || !strings.Contains(err.Error(), cause.Error()) || !strings.Contains(err.Error(), `queue "billing"`) {
		t.Errorf("got %v, want an error that names queue and cause", err)
	}
}

func TestPublishWaitsForARestart(t *testing.T) {
	r := httpbroker.NewMemoryRegistry()
	b := connect(t, r)
	sub := subscribe(t, connect(t, r), "orders", ignore, broker.Queue("billing"))
	if err := sub.Unsubscribe(t.Context()); err != nil {
		t.Fatal(err)
	}
	err := b.Publish(within(t, 30*time.Millisecond), "orders", &broker.Message{Body: []byte("late")})
	if !errors.Is(err, broker.ErrNotDelivered) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("publish to a queue without a member: got %v, want ErrNotDelivered and DeadlineExceeded", err)
	}
	if err := b.Publish(t.Context(), "orders", &broker.Message{}, broker.NoWait()); !errors.Is(err, broker.ErrBackpressure) {
		t.Errorf("publish with NoWait: got %v, want ErrBackpressure", err)
	}
	errs := make(chan error, 1)
	go func() { errs <- b.Publish(within(t, long), "orders", &broker.Message{Body: []byte("waits")}) }()
	h := newHold()
	close(h.release)
	subscribe(t, connect(t, r), "orders", h.handle, broker.Queue("billing"))
	if err := <-errs; err != nil {
		t.Errorf("publish: %v", err)
	}
	if got := <-h.began; got != "waits" {
		t.Errorf("handled %q, want what still waited", got)
	}
}

func TestWaitingPublishersAreBounded(t *testing.T) {
	r := httpbroker.NewMemoryRegistry()
	b := connect(t, r, httpbroker.Backlog(1, 1<<20), httpbroker.RequireQueues("orders", "billing"))
	errs := make(chan error, 2)
	for range 2 {
		go func() { errs <- b.Publish(within(t, time.Second), "orders", &broker.Message{}) }()
	}
	if err := <-errs; !errors.Is(err, broker.ErrBackpressure) {
		t.Errorf("the second one: got %v, want ErrBackpressure", err)
	}
	if err := <-errs; !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the first one: got %v, want DeadlineExceeded", err)
	}
}

func TestHandlerThatWouldWaitForItself(t *testing.T) {
	r := httpbroker.NewMemoryRegistry()
	b := connect(t, r)
	errs := make(chan error, 1)
	subscribe(t, b, "orders", func(ctx context.Context, d *broker.Delivery) error {
		if string(d.Message.Body) == "first" {
			errs <- b.Publish(ctx, "orders", &broker.Message{Body: []byte("second")})
		}
		return nil
	}, broker.Queue("billing"))
	if err := b.Publish(within(t, long), "orders", &broker.Message{Body: []byte("first")}); err != nil {
		t.Fatal(err)
	}
	err := <-errs
	if !errors.Is(err, broker.ErrNotDelivered) || !strings.Contains(err.Error(), "wait for itself") {
		t.Errorf("got %v, want ErrNotDelivered that says why", err)
	}
}

// TestSlowMessageHoldsUpNobody has one message that runs until all others are
// done, in requests of their own and in the same one.
func TestSlowMessageHoldsUpNobody(t *testing.T) {
	r := httpbroker.NewMemoryRegistry()
	release := make(chan struct{})
	h := func(ctx context.Context, d *broker.Delivery) error {
		if string(d.Message.Body) == "slow" {
			select {
			case <-release:
			case <-ctx.Done():
			}
		}
		return nil
	}
	subscribe(t, connect(t, r), "orders", h, broker.Queue("billing"), broker.MaxInFlight(2))
	b := connect(t, r)
	slow := make(chan error, 1)
	go func() { slow <- b.Publish(within(t, long), "orders", &broker.Message{Body: []byte("slow")}) }()
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			for range 20 {
				if err := b.Publish(within(t, long), "orders", &broker.Message{Body: []byte("quick")}); err != nil {
					t.Errorf("publish: %v", err)
				}
			}
		})
	}
	wg.Wait()
	close(release)
	if err := <-slow; err != nil {
		t.Errorf("the slow one: %v", err)
	}
}

func TestMessagesTravelTogetherUnderConcurrency(t *testing.T) {
	r := httpbroker.NewMemoryRegistry()
	d := httpbroker.NewDriver()
	var requests atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		requests.Add(1)
		d.Handler().ServeHTTP(w, req)
	}))
	t.Cleanup(server.Close)
	mounted := broker.New(d, httpbroker.WithRegistry(r), httpbroker.Mounted(server.Listener.Addr().String()))
	if err := mounted.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := mounted.Disconnect(context.Background()); err != nil {
			t.Errorf("disconnect: %v", err)
		}
	})
	subscribe(t, mounted, "orders", ignore, broker.Queue("billing"))
	b := connect(t, r)
	for range 20 {
		if err := b.Publish(within(t, long), "orders", &broker.Message{}); err != nil {
			t.Fatal(err)
		}
	}
	if got := requests.Load(); got != 20 {
		t.Errorf("requests for 20 messages one by one: got %d, want 20", got)
	}
	requests.Store(0)
	load(t, func(ctx context.Context) error { return b.Publish(ctx, "orders", &broker.Message{}) }, 64, 6400)
	if got := requests.Load(); got > 6400/3 {
		t.Errorf("requests for 6400 messages of 64 callers: got %d, want at most a third", got)
	}
}

func TestLargeMessages(t *testing.T) {
	r := httpbroker.NewMemoryRegistry()
	got := make(chan []byte, 10)
	subscribe(t, connect(t, r), "orders", func(_ context.Context, d *broker.Delivery) error {
		got <- d.Message.Body
		return nil
	}, broker.Queue("billing"))
	b := connect(t, r)
	for _, size := range []int{0, 1, 1 << 20, 4 << 20} {
		want := bytes.Repeat([]byte("x"), size)
		if err := b.Publish(within(t, long), "orders", &broker.Message{Body: want}); err != nil {
			t.Errorf("%d bytes: %v", size, err)
		} else if body := <-got; !bytes.Equal(body, want) {
			t.Errorf("%d bytes: got %d bytes", size, len(body))
		}
	}
}

// TestSmallMessagesTogetherMayExceedTheBodyLimit has a member that takes small
// bodies only, and many of them at once.
func TestSmallMessagesTogetherMayExceedTheBodyLimit(t *testing.T) {
	r := httpbroker.NewMemoryRegistry()
	subscribe(t, connect(t, r, httpbroker.MaxBody(2000)), "orders", ignore, broker.Queue("billing"))
	b := connect(t, r)
	body := bytes.Repeat([]byte("x"), 2000)
	load(t, func(ctx context.Context) error { return b.Publish(ctx, "orders", &broker.Message{Body: body}) }, 256, 2560)
	err := b.Publish(within(t, long), "orders", &broker.Message{Body: append(body, 'x')})
	if !errors.Is(err, broker.ErrRejected) || !errors.Is(err, broker.ErrTooLarge) {
		t.Errorf("a body over the limit of the member: got %v, want ErrRejected and ErrTooLarge", err)
	}
}
