package brokertest

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/micro-event/micro-event/runtime/broker"
)

// stopBrokerDefects are faults of stopping in a broker.
func stopBrokerDefects() []defect {
	unsubscribe := func(name, caught string, f func(ctx context.Context, sub broker.Subscriber) error) defect {
		return brokerDefect(name, caught, func(b *labBroker) { b.unsubscribe = f })
	}
	disconnect := func(name, caught string, f func(ctx context.Context, b *labBroker) error) defect {
		return brokerDefect(name, caught, func(b *labBroker) {
			b.disconnect = func(ctx context.Context) error { return f(ctx, b) }
		})
	}
	background := func(ctx context.Context, f func(context.Context) error) {
		later, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		go func() { defer cancel(); f(later) }() //nolint:errcheck // it is the defect
	}
	return []defect{
		unsubscribe("does not wait for handlers", "U1_unsubscribe_waits_for_running_handlers", func(ctx context.Context, sub broker.Subscriber) error {
			background(ctx, sub.Unsubscribe)
			return nil
		}),
		unsubscribe("never cancels handlers", "U1_unsubscribe_cancels_at_its_deadline", func(ctx context.Context, sub broker.Subscriber) error {
			return sub.Unsubscribe(context.WithoutCancel(ctx))
		}),
		brokerDefect("can unsubscribe only once", "U1_unsubscribe_is_idempotent", func(b *labBroker) {
			var ended sync.Map
			b.unsubscribe = func(ctx context.Context, sub broker.Subscriber) error {
				if _, twice := ended.LoadOrStore(sub, true); twice {
					return errors.New("unsubscribed before")
				}
				return sub.Unsubscribe(ctx)
			}
		}),
		unsubscribe("says nothing inside a handler", "U1_unsubscribe_inside_its_handler", func(ctx context.Context, sub broker.Subscriber) error {
			if err := sub.Unsubscribe(ctx); !errors.Is(err, broker.ErrInHandler) {
				return err
			}
			return nil
		}),
		unsubscribe("hides a hanging handler", "U1_a_hanging_handler_is_named", func(ctx context.Context, sub broker.Subscriber) error {
			sub.Unsubscribe(ctx) //nolint:errcheck // it is the defect
			return nil
		}),
		brokerDefect("goes on while it unsubscribes", "U1_new_deliveries_stop_at_once", goOnWhileEnding),
		brokerDefect("starts a handler after Unsubscribe", "U1_nothing_starts_after_unsubscribe", startAfterEnd),
		disconnect("does not drain", "U3_disconnect_drains_subscriptions", func(ctx context.Context, b *labBroker) error {
			background(ctx, b.Engine.Disconnect)
			return nil
		}),
		disconnect("hides what a disconnect cut", "U3_disconnect_lists_what_was_cut", func(ctx context.Context, b *labBroker) error {
			b.Engine.Disconnect(ctx) //nolint:errcheck // it is the defect
			return nil
		}),
		disconnect("hides that it was disconnected by a handler", "U3_disconnect_inside_a_handler", func(ctx context.Context, b *labBroker) error {
			if err := b.Engine.Disconnect(ctx); !errors.Is(err, broker.ErrInHandler) {
				return err
			}
			return nil
		}),
		brokerDefect("refuses publishes of draining handlers", "U3_a_draining_handler_may_publish", func(b *labBroker) {
			var draining atomic.Bool
			b.publish = func(ctx context.Context, topic string, m *broker.Message, opts []broker.PublishOption) error {
				if draining.Load() {
					return broker.ErrClosed
				}
				return b.Engine.Publish(ctx, topic, m, opts...)
			}
			b.disconnect = func(ctx context.Context) error {
				draining.Store(true)
				return b.Engine.Disconnect(ctx)
			}
		}),
		brokerDefect("is always healthy", "U4_health_follows_the_connection", func(b *labBroker) {
			b.health = func(context.Context) error { return nil }
		}),
	}
}

// goOnWhileEnding cancels handlers and lets others start before it stops.
func goOnWhileEnding(b *labBroker) {
	cancelled := make(chan struct{})
	var once sync.Once
	b.handlers(func(_ string, h broker.Handler, _ broker.SubscribeOptions) (broker.Handler, options) {
		return func(ctx context.Context, d *broker.Delivery) error {
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			go func() {
				select {
				case <-cancelled:
					cancel()
				case <-ctx.Done():
				}
			}()
			return h(ctx, d)
		}, nil
	})
	b.unsubscribe = func(ctx context.Context, sub broker.Subscriber) error {
		once.Do(func() { close(cancelled) })
		return errors.Join(pause(ctx, 20*time.Millisecond), sub.Unsubscribe(ctx))
	}
}

// startAfterEnd calls handlers after their subscription has ended.
func startAfterEnd(b *labBroker) {
	var mu sync.Mutex
	var late func()
	b.handlers(func(_ string, h broker.Handler, _ broker.SubscribeOptions) (broker.Handler, options) {
		return func(ctx context.Context, d *broker.Delivery) error {
			mu.Lock()
			again := broker.Delivery{Topic: d.Topic, Message: d.Message.Clone(), Attempt: d.Attempt}
			late = func() { h(context.WithoutCancel(ctx), &again) } //nolint:errcheck // it is the defect
			mu.Unlock()
			return h(ctx, d)
		}, nil
	})
	b.unsubscribe = func(ctx context.Context, sub broker.Subscriber) error {
		err := sub.Unsubscribe(ctx)
		mu.Lock()
		call := late
		mu.Unlock()
		for i := range 12 { // soon enough for a test that hurries, late enough for a machine that stalls
			time.AfterFunc(100*time.Microsecond<<i, call)
		}
		return err
	}
}
