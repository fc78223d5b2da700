package httpbroker_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/micro-event/micro-event/runtime/broker"
	httpbroker "github.com/micro-event/micro-event/runtime/broker/http"
)

var accepted = httpbroker.PublishLevel(httpbroker.Accepted)

// receive returns the next n bodies that a handler got.
func receive(t *testing.T, got <-chan string, n int) []string {
	t.Helper()
	bodies := make([]string, 0, n)
	deadline := time.After(long)
	for len(bodies) < n {
		select {
		case b := <-got:
			bodies = append(bodies, b)
		case <-deadline:
			t.Fatalf("got %d of %d messages", len(bodies), n)
		}
	}
	return bodies
}

func TestBacklogKeepsTheOrder(t *testing.T) {
	r := httpbroker.NewMemoryRegistry()
	b := connect(t, r, accepted)
	if err := b.DeclareQueue(t.Context(), "orders", "billing"); err != nil {
		t.Fatal(err)
	}
	const n = 3000
	want := make([]string, n)
	for i := range n {
		want[i] = fmt.Sprint(i)
		key := ""
		if i%3 == 0 {
			key = fmt.Sprint("key", i%7)
		}
		if err := b.Publish(within(t, long), "orders", &broker.Message{Key: key, Body: []byte(want[i])}); err != nil {
			t.Fatal(err)
		}
	}
	h := &hold{began: make(chan string, n), release: make(chan struct{})}
	close(h.release)
	subscribe(t, connect(t, r), "orders", h.handle, broker.Queue("billing"))
	if got := receive(t, h.began, n); !slices.Equal(got, want) {
		t.Errorf("the order is not that of publishing: got %.10v..., want %.10v...", got, want)
	}
}

func TestFullBacklogBlocks(t *testing.T) {
	r := httpbroker.NewMemoryRegistry()
	b := connect(t, r, accepted, httpbroker.Backlog(2, 1<<20))
	if err := b.DeclareQueue(t.Context(), "orders", "billing"); err != nil {
		t.Fatal(err)
	}
	publish := func(body string, d time.Duration, opts ...broker.PublishOption) error {
		return b.Publish(within(t, d), "orders", &broker.Message{Key: "k", Body: []byte(body)}, opts...)
	}
	for i := range 2 {
		if err := publish(fmt.Sprint(i), long); err != nil {
			t.Fatal(err)
		}
	}
	if err := publish("no wait", long, broker.NoWait()); !errors.Is(err, broker.ErrBackpressure) {
		t.Errorf("publish with NoWait: got %v, want ErrBackpressure", err)
	}
	if err := publish("too late", 30*time.Millisecond); !errors.Is(err, broker.ErrNotDelivered) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("publish: got %v, want ErrNotDelivered and DeadlineExceeded", err)
	}
	waits := make(chan error, 1)
	go func() { waits <- publish("waits", long) }()
	h := newHold()
	close(h.release)
	subscribe(t, connect(t, r), "orders", h.handle, broker.Queue("billing"))
	if err := <-waits; err != nil {
		t.Errorf("publish that waits: %v", err)
	}
	if got, want := receive(t, h.began, 3), []string{"0", "1", "waits"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestDisconnectReportsWhatIsLost(t *testing.T) {
	r := httpbroker.NewMemoryRegistry()
	b := httpbroker.New(httpbroker.WithRegistry(r), accepted, httpbroker.FlushTimeout(20*time.Millisecond))
	if err := b.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := b.DeclareQueue(t.Context(), "orders", "billing"); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := b.Publish(within(t, long), "orders", &broker.Message{}); err != nil {
			t.Fatal(err)
		}
	}
	err := b.Disconnect(within(t, long))
	if !errors.Is(err, httpbroker.ErrLost) || !strings.Contains(err.Error(), `3 messages of "orders"`) {
		t.Errorf("got %v, want ErrLost with number and topic", err)
	}
}

// TestGivenBackMessagesGoToAnotherMember ends a member that holds messages of
// one key, one of which runs.
func TestGivenBackMessagesGoToAnotherMember(t *testing.T) {
	r := httpbroker.NewMemoryRegistry()
	h := newHold()
	leaving := connect(t, r, accepted)
	sub := subscribe(t, leaving, "orders", h.handle, broker.Queue("billing"), broker.MaxInFlight(4))
	b := connect(t, r, accepted)
	var want []string
	for i := range 50 {
		want = append(want, fmt.Sprint(i))
		if err := b.Publish(within(t, long), "orders", &broker.Message{Key: "k", Body: []byte(want[i])}); err != nil {
			t.Fatal(err)
		}
	}
	if got := receive(t, h.began, 1); got[0] != "0" {
		t.Fatalf("got %v first", got)
	}
	ended := make(chan error, 1)
	go func() { ended <- sub.Unsubscribe(within(t, long)) }()
	close(h.release)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	first := 1 + len(h.began) // those that began before Unsubscribe
	next := newHold()
	close(next.release)
	subscribe(t, connect(t, r, accepted), "orders", next.handle, broker.Queue("billing"))
	if got := receive(t, next.began, 50-first); !slices.Equal(got, want[first:]) {
		t.Errorf("at the other member: got %v, want %v", got, want[first:])
	}
}
