package brokertest

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
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

// handlerBrokerDefects are faults in what a broker makes of a handler's result.
func handlerBrokerDefects() []defect {
	results := func(name, caught string, change func(error) error) defect {
		return brokerDefect(name, caught, func(b *labBroker) { b.results(change) })
	}
	handlers := func(name, caught string, change func(h broker.Handler) broker.Handler) defect {
		return brokerDefect(name, caught, func(b *labBroker) {
			b.handlers(func(_ string, h broker.Handler, _ broker.SubscribeOptions) (broker.Handler, options) {
				return change(h), nil
			})
		})
	}
	plain := func(err error) error {
		if broker.IsPermanent(err) {
			return errors.New(err.Error())
		}
		return err
	}
	return []defect{
		results("ignores errors of handlers", "H1_an_error_is_retried", func(error) error { return nil }),
		results("retries what failed for good", "H1_permanent_is_given_up_at_once", plain),
		results("keeps poison without a dead letter", "H4_without_a_dead_letter_poison_is_dropped_by_name", plain),
		results("counts requeues", "H1_requeue_is_not_counted", func(err error) error {
			if errors.Is(err, broker.ErrRequeue) {
				return errors.New(err.Error())
			}
			return err
		}),
		results("retries too early", "H1_retry_after_is_kept", func(err error) error {
			if err != nil {
				return errors.New(err.Error())
			}
			return nil
		}),
		handlers("acknowledges after a panic", "H1_a_panic_is_a_failed_attempt", func(h broker.Handler) broker.Handler {
			return func(ctx context.Context, d *broker.Delivery) error {
				defer func() { recover() }() //nolint:errcheck // it is the defect
				return h(ctx, d)
			}
		}),
		handlers("loses a slot when a handler's goroutine ends", "H1_an_ended_goroutine_is_a_failed_attempt", func(h broker.Handler) broker.Handler {
			return func(ctx context.Context, d *broker.Delivery) error {
				result := make(chan error)
				go func() { result <- h(ctx, d) }()
				select {
				case err := <-result:
					return err
				case <-ctx.Done():
					return ctx.Err()
				}
			}
		}),
		handlers("retries in the slot of the handler", "H3_a_parked_retry_holds_no_slot", retryInSlot),
		handlers("makes others wait for a retry", "S4_no_key_waits_for_no_retry", retryInSlot),
		handlers("handles some messages twice", "S4_many_keyed_messages_failing_in_between", func(h broker.Handler) broker.Handler {
			var n atomic.Int64
			return func(ctx context.Context, d *broker.Delivery) error {
				err := h(ctx, d)
				if err == nil && n.Add(1)%500 == 0 {
					return h(ctx, d)
				}
				return err
			}
		}),
		brokerDefect("shares a message between attempts", "H5_each_attempt_gets_its_own_copy", func(b *labBroker) {
			b.handlers(func(_ string, h broker.Handler, _ broker.SubscribeOptions) (broker.Handler, options) {
				return shareMessages(h, new(sync.Map)), nil
			})
		}),
		{"shares a message between queues", "H5_each_queue_gets_its_own_copy", func(l *lab) {
			all := new(sync.Map)
			l.broker = func(b *labBroker) {
				b.handlers(func(_ string, h broker.Handler, _ broker.SubscribeOptions) (broker.Handler, options) {
					return shareMessages(h, all), nil
				})
			}
		}},
		brokerDefect("lets those behind pass a retry", "H3_a_retry_holds_its_key_only", retryByPublishing),
	}
}

// shareMessages gives handlers the first copy of a message again.
func shareMessages(h broker.Handler, copies *sync.Map) broker.Handler {
	return func(ctx context.Context, d *broker.Delivery) error {
		first, _ := copies.LoadOrStore(string(d.Message.Body), d.Message)
		d.Message = first.(broker.Message) //nolint:forcetypeassert // nothing else is stored
		return h(ctx, d)
	}
}

// retryInSlot retries inside the handler.
func retryInSlot(h broker.Handler) broker.Handler {
	return func(ctx context.Context, d *broker.Delivery) error {
		for {
			err := h(ctx, d)
			if err == nil {
				return nil
			}
			if err := pause(ctx, 10*time.Millisecond); err != nil {
				return err
			}
		}
	}
}

// retryByPublishing publishes a message again instead of retrying it.
func retryByPublishing(b *labBroker) {
	b.handlers(func(_ string, h broker.Handler, _ broker.SubscribeOptions) (broker.Handler, options) {
		return func(ctx context.Context, d *broker.Delivery) error {
			m := d.Message.Clone()
			if err := h(ctx, d); err != nil {
				return b.Engine.Publish(ctx, d.Topic, &m)
			}
			return nil
		}, nil
	})
}

// poisonBrokerDefects are faults of dead letters in a broker.
func poisonBrokerDefects() []defect {
	return []defect{
		brokerDefect("writes nothing on a dead letter", "H4_a_dead_letter_says_where_it_came_from", ownLetters(func(b *labBroker, ctx context.Context, letter *broker.Message, dead string, _ error) error {
			return b.Engine.Publish(ctx, dead, letter)
		})),
		brokerDefect("holds dead letters to the limits", "H4_a_dead_letter_may_exceed_the_limits", ownLetters(func(b *labBroker, ctx context.Context, letter *broker.Message, dead string, _ error) error {
			if letter.Header == nil {
				letter.Header = make(broker.Header)
			}
			letter.Header["cause"] = "known"
			return b.Engine.Publish(ctx, dead, letter)
		})),
		brokerDefect("acknowledges before the dead letter is published", "H4_a_failing_dead_letter_repeats_only_itself", ownLetters(func(b *labBroker, ctx context.Context, letter *broker.Message, dead string, _ error) error {
			b.Engine.Publish(ctx, dead, letter) //nolint:errcheck // it is the defect
			return nil
		})),
		brokerDefect("calls the handler again for a failed dead letter", "H4_a_failing_dead_letter_repeats_only_itself", ownLetters(func(b *labBroker, ctx context.Context, letter *broker.Message, dead string, _ error) error {
			return b.Engine.Publish(ctx, dead, letter)
		})),
		brokerDefect("dead-letters during a drain", "H4_never_during_a_drain", ownLetters(func(b *labBroker, ctx context.Context, letter *broker.Message, dead string, _ error) error {
			return b.Engine.Publish(context.WithoutCancel(ctx), dead, letter)
		})),
		brokerDefect("redrives to all queues", "H4_redrive_returns_to_the_queue_that_failed", func(b *labBroker) {
			b.redrive = func(ctx context.Context, dead string) (int, error) {
				return redriveToAll(ctx, b, dead)
			}
		}),
	}
}

// ownLetters publishes dead letters from the handler instead of the engine.
func ownLetters(bury func(b *labBroker, ctx context.Context, letter *broker.Message, dead string, cause error) error) func(*labBroker) {
	return func(b *labBroker) {
		b.handlers(func(_ string, h broker.Handler, o broker.SubscribeOptions) (broker.Handler, options) {
			return func(ctx context.Context, d *broker.Delivery) error {
				letter := d.Message.Clone()
				err := h(ctx, d)
				if o.DeadLetter == "" || !broker.IsPermanent(err) {
					return err
				}
				return bury(b, ctx, &letter, o.DeadLetter, err)
			}, nil
		})
	}
}

func redriveToAll(ctx context.Context, b *labBroker, dead string) (int, error) {
	sent := make(chan struct{}, 100)
	sub, err := b.Engine.Subscribe(ctx, dead, func(ctx context.Context, d *broker.Delivery) error {
		topic := d.Message.Header[broker.DeadLetterTopicHeader]
		for name := range d.Message.Header {
			if strings.HasPrefix(name, "micro-dead-letter-") {
				delete(d.Message.Header, name)
			}
		}
		defer func() { sent <- struct{}{} }()
		return b.Engine.Publish(ctx, topic, &d.Message)
	}, broker.Queue(broker.DeadLetterQueue))
	if err != nil {
		return 0, err
	}
	for n := range 3 {
		select {
		case <-sent:
		case <-ctx.Done():
			return n, ctx.Err()
		}
	}
	return 3, sub.Unsubscribe(ctx)
}

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
		disconnect("says nothing inside a handler", "U3_disconnect_inside_a_handler", func(ctx context.Context, b *labBroker) error {
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
		for i := range 20 {
			time.AfterFunc(time.Duration(i)*time.Millisecond, call)
		}
		return err
	}
}
