package brokertest

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/micro-event/micro-event/runtime/broker"
)

type options = []broker.SubscribeOption

// brokerDefect is a fault of a whole broker, in what the engine answers for.
func brokerDefect(name, caught string, change func(*labBroker)) defect {
	return defect{name, caught, func(l *lab) { l.broker = change }}
}

// publishBrokerDefects are faults of Publish in a broker.
func publishBrokerDefects() []defect {
	publish := func(name, caught string, f func(b *labBroker, ctx context.Context, topic string, m *broker.Message, opts []broker.PublishOption) error) defect {
		return brokerDefect(name, caught, func(b *labBroker) {
			b.publish = func(ctx context.Context, topic string, m *broker.Message, opts []broker.PublishOption) error {
				return f(b, ctx, topic, m, opts)
			}
		})
	}
	return []defect{
		publish("says nothing about the outcome", "P2_errors_say_what_became_of_the_message",
			func(b *labBroker, ctx context.Context, topic string, m *broker.Message, opts []broker.PublishOption) error {
				if err := b.Engine.Publish(ctx, topic, m, opts...); err != nil {
					return errors.New(err.Error())
				}
				return nil
			}),
		publish("drops when it is closed", "P2_before_connect_and_after_disconnect",
			func(b *labBroker, ctx context.Context, topic string, m *broker.Message, opts []broker.PublishOption) error {
				if err := b.Engine.Publish(ctx, topic, m, opts...); !errors.Is(err, broker.ErrClosed) {
					return err
				}
				return nil
			}),
		publish("sends what it refuses", "P2_a_refused_message_is_never_delivered",
			func(b *labBroker, ctx context.Context, topic string, m *broker.Message, opts []broker.PublishOption) error {
				err := b.Engine.Publish(ctx, topic, m, opts...)
				if errors.Is(err, broker.ErrInvalidHeader) {
					return errors.Join(err, b.Engine.Publish(ctx, topic, &broker.Message{Body: m.Body}))
				}
				return err
			}),
		publish("ignores a done context", "P3_a_done_context_returns_before_io",
			func(b *labBroker, ctx context.Context, topic string, m *broker.Message, opts []broker.PublishOption) error {
				return b.Engine.Publish(context.WithoutCancel(ctx), topic, m, opts...)
			}),
		publish("has a limit of its own", "M1_the_largest_headers_arrive",
			func(b *labBroker, ctx context.Context, topic string, m *broker.Message, opts []broker.PublishOption) error {
				if len(m.Header) > 100 {
					return &broker.PublishError{Topic: topic, Outcome: broker.ErrRejected, Cause: broker.ErrInvalidHeader}
				}
				return b.Engine.Publish(ctx, topic, m, opts...)
			}),
		brokerDefect("cannot publish one message twice at once", "P4_one_message_published_concurrently", func(b *labBroker) {
			var flying sync.Map
			b.publish = func(ctx context.Context, topic string, m *broker.Message, opts []broker.PublishOption) error {
				if _, twice := flying.LoadOrStore(m, true); twice {
					return errors.New("message is being published")
				}
				defer flying.Delete(m)
				return errors.Join(b.Engine.Publish(ctx, topic, m, opts...), pause(ctx, time.Millisecond))
			}
		}),
		brokerDefect("lets handlers not publish", "H1_a_handler_may_publish", func(b *labBroker) {
			lock := make(chan struct{}, 1)
			locked := func(ctx context.Context, f func() error) error {
				select {
				case lock <- struct{}{}:
					defer func() { <-lock }()
					return f()
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			b.publish = func(ctx context.Context, topic string, m *broker.Message, opts []broker.PublishOption) error {
				return locked(ctx, func() error { return b.Engine.Publish(ctx, topic, m, opts...) })
			}
			b.handlers(func(_ string, h broker.Handler, _ broker.SubscribeOptions) (broker.Handler, options) {
				return func(ctx context.Context, d *broker.Delivery) error {
					return locked(ctx, func() error { return h(ctx, d) })
				}, nil
			})
		}),
		brokerDefect("has no limit of the body", "M2_a_body_over_the_limit_is_refused", func(b *labBroker) {
			b.Init(broker.MaxMessageBytes(broker.DefaultMaxMessageBytes)) //nolint:errcheck // it is valid
		}),
	}
}

// subscribeBrokerDefects are faults of Subscribe and its options in a broker.
func subscribeBrokerDefects() []defect {
	always := func(name, caught string, opts ...broker.SubscribeOption) defect {
		return brokerDefect(name, caught, func(b *labBroker) {
			b.settings(func(broker.SubscribeOptions) options { return opts })
		})
	}
	return []defect{
		brokerDefect("ends a subscription with Subscribe's context", "S1_the_context_bounds_the_call_only", func(b *labBroker) {
			b.subscribe = func(ctx context.Context, topic string, h broker.Handler, opts options) (broker.Subscriber, error) {
				return b.Engine.Subscribe(ctx, topic, func(hctx context.Context, d *broker.Delivery) error {
					if ctx.Err() != nil {
						return ctx.Err()
					}
					return h(hctx, d)
				}, opts...)
			}
		}),
		brokerDefect("loses the values of Subscribe's context", "S1_the_context_bounds_the_call_only", func(b *labBroker) {
			b.subscribe = func(_ context.Context, topic string, h broker.Handler, opts options) (broker.Subscriber, error) {
				return b.Engine.Subscribe(context.Background(), topic, h, opts...)
			}
		}),
		brokerDefect("tells other options", "S1_a_subscriber_tells_what_it_is", func(b *labBroker) {
			b.subscribe = func(ctx context.Context, topic string, h broker.Handler, opts options) (broker.Subscriber, error) {
				sub, err := b.Engine.Subscribe(ctx, topic, h, opts...)
				return &silentSubscriber{sub}, err
			}
		}),
		brokerDefect("accepts wrong options", "S1_wrong_options_are_refused", func(b *labBroker) {
			b.subscribe = func(ctx context.Context, topic string, h broker.Handler, opts options) (broker.Subscriber, error) {
				if sub, err := b.Engine.Subscribe(ctx, topic, h, opts...); err == nil {
					return sub, nil
				}
				return b.Engine.Subscribe(ctx, topic, h)
			}
		}),
		{"ignores options that it cannot honour", "S1_unsupported_options_are_refused", func(l *lab) {
			l.info = func(i *broker.Info) { i.Capabilities.DeliveryCount = false }
			l.broker = func(b *labBroker) {
				b.settings(func(broker.SubscribeOptions) options { return options{broker.MaxDeliveries(0)} })
			}
		}},
		always("runs two handlers by default", "S4_one_at_a_time_by_default", broker.MaxInFlight(2)),
		always("runs one handler only", "S4_max_in_flight_is_used_and_kept", broker.MaxInFlight(1)),
		always("blocks all keys behind one", "S4_other_keys_go_ahead", broker.MaxInFlight(1)),
		brokerDefect("runs one handler of all queues", "S2_a_blocked_queue_stops_no_other", func(b *labBroker) {
			slot := make(chan struct{}, 1)
			b.handlers(func(_ string, h broker.Handler, _ broker.SubscribeOptions) (broker.Handler, options) {
				return func(ctx context.Context, d *broker.Delivery) error {
					select {
					case slot <- struct{}{}:
					case <-ctx.Done():
						return ctx.Err()
					}
					defer func() { <-slot }()
					return h(ctx, d)
				}, nil
			})
		}),
		always("gives up after ten attempts by default", "H2_retried_without_end_by_default", broker.DropAfter(10)),
		always("has no backoff", "H2_backoff_grows_within_its_bounds", broker.Backoff(0, 0)),
		always("has no window", "H3_the_window_bounds_what_is_held", broker.Window(1000)),
		brokerDefect("attempts once too often", "H2_max_attempts_gives_up", func(b *labBroker) {
			b.settings(func(o broker.SubscribeOptions) options {
				return options{broker.MaxAttempts(max(0, o.MaxAttempts) + 1)}
			})
		}),
		always("drops one attempt too late", "H2_drop_after_drops_by_name", broker.DropAfter(3)),
	}
}

// silentSubscriber tells nothing about itself.
type silentSubscriber struct{ broker.Subscriber }

func (*silentSubscriber) Options() broker.SubscribeOptions { return broker.SubscribeOptions{} }
