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
