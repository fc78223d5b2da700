package memorybroker_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"

	"github.com/micro-event/micro-event/runtime/broker"
	memorybroker "github.com/micro-event/micro-event/runtime/broker/memory"
)

func Example() {
	ctx := context.Background()
	b := memorybroker.New()
	if err := b.Connect(ctx); err != nil {
		fmt.Println(err)
		return
	}
	handled := make(chan struct{})
	_, err := b.Subscribe(ctx, "orders", func(_ context.Context, d *broker.Delivery) error {
		fmt.Printf("%s %s: %s\n", d.Topic, d.Message.Key, d.Message.Body)
		close(handled)
		return nil
	}, broker.Queue("billing"))
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := b.Publish(ctx, "orders", &broker.Message{Key: "o-1", Body: []byte("created")}); err != nil {
		fmt.Println(err)
		return
	}
	<-handled
	if err := b.Disconnect(ctx); err != nil {
		fmt.Println(err)
	}
	// Output: orders o-1: created
}

func TestManyKeysFailingKeepOrder(t *testing.T) {
	ctx := t.Context()
	b := memorybroker.New()
	must(t, b.Connect(ctx))
	const n, keys = 10000, 50
	var mu sync.Mutex
	last := map[string]int{}
	failed := map[string]bool{}
	done := make(chan struct{})
	count := 0
	_, err := b.Subscribe(ctx, "t", func(_ context.Context, d *broker.Delivery) error {
		mu.Lock()
		defer mu.Unlock()
		id := string(d.Message.Body)
		i, err := strconv.Atoi(id)
		if err != nil {
			t.Error(err)
		}
		if i%5 == 0 && !failed[id] {
			failed[id] = true
			return errors.New("once")
		}
		if last[d.Message.Key] >= i {
			t.Errorf("key %s: %d after %d", d.Message.Key, i, last[d.Message.Key])
		}
		last[d.Message.Key] = i
		if count++; count == n {
			close(done)
		}
		return nil
	}, broker.Queue("q"), broker.MaxInFlight(8), broker.Backoff(0, 0))
	must(t, err)
	for i := 1; i <= n; i++ {
		must(t, b.Publish(ctx, "t", &broker.Message{Key: fmt.Sprint(i % keys), Body: fmt.Append(nil, i)}))
	}
	<-done
	must(t, b.Disconnect(ctx))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func BenchmarkOneSubscriber(b *testing.B) {
	ctx := b.Context()
	br := memorybroker.New()
	must(b, br.Connect(ctx))
	n := 0
	done := make(chan struct{})
	_, err := br.Subscribe(ctx, "t", func(_ context.Context, d *broker.Delivery) error {
		if n++; n == b.N {
			close(done)
		}
		return nil
	}, broker.Queue("q"))
	must(b, err)
	m := &broker.Message{Key: "k", Header: broker.Header{"a": "b"}, Body: make([]byte, 200)}
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		must(b, br.Publish(ctx, "t", m))
	}
	<-done
}
