package httpbroker_test

import (
	"context"
	"errors"
	"fmt"
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
