package rabbitmqbroker_test

import (
	"context"
	"errors"
	"testing"

	"github.com/micro-event/micro-event/runtime/broker"
)

// TestAClosedConsumerChannel closes the channel of a message that is handled: it comes
// again on the next one, and is acknowledged there only.
func TestAClosedConsumerChannel(t *testing.T) {
	const consumerTimeout = 406
	for name, breaks := range map[string]script{
		"closed by the server": closesChannel(consumerTimeout),
		"cut":                  cuts,
	} {
		t.Run(name, func(t *testing.T) {
			f := startFake(t, nil)
			b := f.broker()
			consumed, acked := make(chan *method, 2), make(chan *method, 2)
			f.on(basicConsume, func(m *method) {
				m.answer()
				m.deliver("body")
				consumed <- m
			})
			f.on(basicAck, func(m *method) { acked <- m })
			entered, release := make(chan struct{}), make(chan struct{})
			sub, err := b.Subscribe(soon(t), "topic", func(context.Context, *broker.Delivery) error {
				entered <- struct{}{}
				<-release
				return nil
			}, broker.Queue("q"), broker.MaxInFlight(2))
			must(t, err)
			wait(t, entered)
			breaks(wait(t, consumed))
			again := wait(t, consumed) // the first channel is gone
			release <- struct{}{}
			wait(t, entered)
			release <- struct{}{}
			if m := wait(t, acked); m.peer != again.peer || m.channel != again.channel {
				t.Errorf("acknowledged on connection %d, channel %d, want %d, %d",
					m.peer.number, m.channel, again.peer.number, again.channel)
			}
			must(t, sub.Unsubscribe(soon(t)))
			if n := f.seen(basicAck); n != 1 {
				t.Errorf("acknowledged %d times, want once", n)
			}
		})
	}
}

// TestSubscribeLeavesNothingBehind ends the context of Subscribe before the server
// answers. What it then makes must not hold messages.
func TestSubscribeLeavesNothingBehind(t *testing.T) {
	for _, test := range []struct {
		name string
		verb verb
	}{
		{"the channel", channelOpen},
		{"the window", basicQos},
		{"the consumer", basicConsume},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := startFake(t, nil)
			b := f.broker()
			asked, closed := make(chan *method, 1), make(chan uint16, 10)
			stall := func() {
				f.on(test.verb, func(m *method) { asked <- m })
			}
			if test.verb == channelOpen { // the one after what makes the queue
				f.on(queueBind, func(m *method) { stall(); m.answer() })
			} else {
				stall()
			}
			ctx, cancel := context.WithCancelCause(soon(t))
			subscribed := make(chan error, 1)
			go func() {
				_, err := b.Subscribe(ctx, "topic", func(context.Context, *broker.Delivery) error { return nil }, broker.Queue("q"))
				subscribed <- err
			}()
			m := wait(t, asked)
			cancel(errEnough)
			if err := wait(t, subscribed); !errors.Is(err, errEnough) {
				t.Errorf("subscribe: got %v, want %v", err, errEnough)
			}
			f.on(test.verb, (*method).answer)
			f.on(channelClose, func(m *method) {
				m.answer()
				closed <- m.channel
			})
			m.answer()
			for wait(t, closed) != m.channel { // others are those that made the queue
			}
			must(t, b.DeclareQueue(soon(t), "topic", "q")) // the connection is still good
			if n := f.seen(anyVerb); n != 2 {
				t.Errorf("connections: got %d, want 2", n)
			}
		})
	}
}
