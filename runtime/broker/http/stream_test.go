package httpbroker_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/micro-event/micro-event/runtime/broker"
	httpbroker "github.com/micro-event/micro-event/runtime/broker/http"
)

func handler(f func(ctx context.Context, body string) error) broker.Handler {
	return func(ctx context.Context, d *broker.Delivery) error { return f(ctx, string(d.Message.Body)) }
}

// TestConnectionsChangeToFrames sends good and bad requests on one connection.
func TestConnectionsChangeToFrames(t *testing.T) {
	b := connect(t, httpbroker.NewMemoryRegistry(), httpbroker.MaxBody(1<<20))
	var handled atomic.Int64
	subscribe(t, b, "orders", handler(func(_ context.Context, body string) error {
		handled.Add(1)
		if body == "poison" {
			return broker.Permanent(errors.New("no such order"))
		}
		return nil
	}), broker.Queue("billing"), broker.DropAfter(1))
	w := openUpgraded(t, b)
	for _, c := range []struct {
		name, frame string
		want        status
	}{
		{"good", frameOf("orders", "billing", "", "2", "x"), status{200, false}},
		{"poison", frameOf("orders", "billing", "", "3", "poison"), status{422, false}},
		{"no such subscription", frameOf("orders", "shipping", "", "4", "x"), status{404, true}},
		{"another instance", frameOf("orders", "billing", "gone", "5", "x"), status{421, true}},
		{"known", frameOf("orders", "billing", "", "2", "x"), status{200, false}},
	} {
		w.frame(c.frame)
		if got := w.answer(); len(got) != 1 || got[0] != c.want {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
	if n := handled.Load(); n != 3 {
		t.Errorf("handled %d messages, want 3", n)
	}
	w.frame("garbage")
	if got := w.answer(); len(got) != 1 || got[0] != (status{400, true}) {
		t.Errorf("garbage: got %v, want 400", got)
	}
	w.ended()
}

// TestLargeFramesAreRefusedUnread announces more than a member takes.
func TestLargeFramesAreRefusedUnread(t *testing.T) {
	b := connect(t, httpbroker.NewMemoryRegistry())
	subscribe(t, b, "orders", ignore, broker.Queue("billing"))
	for _, size := range []uint64{512 << 20, 1 << 63} {
		w := openUpgraded(t, b)
		w.send("\x00" + string(binary.AppendUvarint(nil, size)))
		if got := w.answer(); len(got) != 1 || got[0] != (status{413, true}) {
			t.Errorf("%d bytes: got %v, want 413", size, got)
		}
		w.ended()
	}
	w := openUpgraded(t, b)
	w.send(strings.Repeat("\xff", 11)) // no number ever
	w.ended()
}

// TestSlowHandlersOnChangedConnections has a handler that takes its time, on the
// goroutine of the connection: 202 must come meanwhile, and the result afterwards.
func TestSlowHandlersOnChangedConnections(t *testing.T) {
	b := connect(t, httpbroker.NewMemoryRegistry())
	release := make(chan struct{})
	subscribe(t, b, "orders", handler(func(ctx context.Context, body string) error {
		if body == "slow" {
			select {
			case <-release:
			case <-ctx.Done():
			}
		}
		return nil
	}), broker.Queue("billing"))
	w := openUpgraded(t, b)
	for i := range 3 {
		w.frame(frameOf("orders", "billing", "", fmt.Sprint("slow", i), "slow"))
		if _, err := w.reader.Peek(1); err != nil { // 202
			t.Fatal(err)
		}
		release <- struct{}{}
		got := w.answer()
		if n := len(got); n < 2 || got[0].code != http.StatusAccepted || got[n-1].code != http.StatusOK {
			t.Errorf("got %v, want 202 and then 200", got)
		}
		w.frame(frameOf("orders", "billing", "", fmt.Sprint("quick", i), "quick"))
		if got := w.answer(); got[len(got)-1].code != http.StatusOK {
			t.Errorf("got %v, want 200 in the end", got)
		}
	}
}

// TestPublishersThatLeaveAreNoticed closes a connection while its message waits: the
// member has room again, and does not handle it.
func TestPublishersThatLeaveAreNoticed(t *testing.T) {
	b := connect(t, httpbroker.NewMemoryRegistry(), httpbroker.Capacity(2))
	begun, release := make(chan string, 10), make(chan struct{})
	subscribe(t, b, "orders", handler(func(_ context.Context, body string) error {
		if body != "x" {
			begun <- body
			<-release
		}
		return nil
	}), broker.Queue("billing"))
	first, second, third := openUpgraded(t, b), openUpgraded(t, b), openUpgraded(t, b)
	first.frame(frameOf("orders", "billing", "", "2", "first"))
	if got := <-begun; got != "first" {
		t.Fatalf("got %q, want the first", got)
	}
	second.frame(frameOf("orders", "billing", "", "3", "second"))
	if _, err := second.reader.Peek(1); err != nil { // 202: it waits in the member
		t.Fatal(err)
	}
	third.frame(frameOf("orders", "billing", "", "4", "third"))
	if got := third.answer(); got[0].code != http.StatusTooManyRequests {
		t.Fatalf("got %v, want 429", got)
	}
	second.Close() //nolint:errcheck // a test
	for code := uint64(http.StatusTooManyRequests); code == http.StatusTooManyRequests; {
		third.frame(frameOf("orders", "billing", "", "4", "third"))
		if code = third.result().code; code == http.StatusTooManyRequests {
			third.answer() // its end
		}
	}
	close(release)
	if got := third.answer(); got[len(got)-1].code != http.StatusOK {
		t.Errorf("got %v, want 200 in the end", got)
	}
	if got := <-begun; got != "third" {
		t.Errorf("handled %q, whose publisher had left before", got)
	}
}

// TestConnectionsDoNotChange where requests are not to be passed by.
func TestConnectionsDoNotChange(t *testing.T) {
	plain := func(t *testing.T, opts ...broker.Option) *broker.Engine {
		b := connect(t, httpbroker.NewMemoryRegistry(), opts...)
		subscribe(t, b, "orders", ignore, broker.Queue("billing"))
		return b
	}
	frame := frameOf("orders", "billing", "", "1", "x")
	for name, c := range map[string]struct {
		opts   []broker.Option
		header string
		offer  string
	}{
		"not asked for":    {nil, "", "micro-event/1"},
		"another protocol": {nil, "Connection: Upgrade\r\nUpgrade: websocket\r\n", "micro-event/1"},
	} {
		t.Run(name, func(t *testing.T) {
			resp := open(t, plain(t, c.opts...)).post(c.header, frame) //nolint:bodyclose // the connection is closed
			if got := resp.Header.Get("Upgrade"); resp.StatusCode != http.StatusOK || got != c.offer {
				t.Errorf("got %s, offers %q, want 200 and %q", resp.Status, got, c.offer)
			}
		})
	}
}

// TestIdleConnectionsEndWithTheBroker disconnects while one connection is idle and
// another has a request, whose answer must come.
func TestIdleConnectionsEndWithTheBroker(t *testing.T) {
	b := httpbroker.New(httpbroker.WithRegistry(httpbroker.NewMemoryRegistry()))
	if err := b.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := runtime.NumGoroutine()
	begun, release := make(chan struct{}), make(chan struct{})
	subscribe(t, b, "orders", handler(func(_ context.Context, body string) error {
		if body == "slow" {
			close(begun)
			<-release
		}
		return nil
	}), broker.Queue("billing"))
	idle, busy := openUpgraded(t, b), openUpgraded(t, b)
	busy.frame(frameOf("orders", "billing", "", "2", "slow"))
	<-begun
	done := make(chan error, 1)
	go func() { done <- b.Disconnect(within(t, 5*time.Second)) }()
	close(release)
	if got := busy.answer(); got[len(got)-1].code != http.StatusOK {
		t.Errorf("got %v, want 200 in the end", got)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	idle.ended()
	busy.ended()
	for range 100 {
		if runtime.NumGoroutine() <= before {
			return
		}
		runtime.Gosched()
	}
	t.Errorf("%d goroutines are left, %d before", runtime.NumGoroutine(), before)
}

// TestStuckHandlersDoNotHoldUpDisconnect has a handler that ignores its cancellation,
// on the goroutine of the connection.
func TestStuckHandlersDoNotHoldUpDisconnect(t *testing.T) {
	b := httpbroker.New(httpbroker.WithRegistry(httpbroker.NewMemoryRegistry()))
	if err := b.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	begun, release := make(chan struct{}), make(chan struct{})
	defer close(release)
	subscribe(t, b, "orders", handler(func(_ context.Context, body string) error {
		if body == "stuck" {
			close(begun)
			<-release
		}
		return nil
	}), broker.Queue("billing"))
	w := openUpgraded(t, b)
	w.frame(frameOf("orders", "billing", "", "2", "stuck"))
	<-begun
	if err := b.Disconnect(within(t, 100*time.Millisecond)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want that the time was over", err)
	}
	if _, err := io.ReadAll(w.reader); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the connection is still open")
	}
}
