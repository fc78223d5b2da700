package brokertest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/micro-event/micro-event/runtime/broker"
)

func subscribeTests() []test {
	return []test{
		{"S1_live_when_subscribe_returns", (*env).liveOnReturn, nil},
		{"S1_the_context_bounds_the_call_only", (*env).contextBoundsCall, nil},
		{"S1_a_subscriber_tells_what_it_is", (*env).subscriberTells, nil},
		{"S1_wrong_options_are_refused", (*env).wrongOptions, nil},
		{"S1_unsupported_options_are_refused", (*env).unsupportedOptions, nil},
		{"S5_what_is_held_is_not_delivered_again", (*env).heldStays, []need{ackClock}},
	}
}

// liveOnReturn publishes from another connection at once.
func (e *env) liveOnReturn() {
	subscriber, publisher := e.connect(), e.connect()
	in := e.inbox(nil)
	for i := range 20 {
		topic := e.topic(fmt.Sprint("t", i))
		var opts []broker.SubscribeOption
		if i%2 == 0 {
			opts = append(opts, broker.Queue(e.queue("q")))
		}
		e.subscribe(subscriber, topic, in, opts...)
		e.publish(publisher, topic, message("", topic))
	}
	in.awaitHandled(20)
}

type contextKey struct{}

func (e *env) contextBoundsCall() {
	b, topic := e.connect(), e.topic("t")
	in := e.inbox(func(ctx context.Context, _ call) error {
		if ctx.Value(contextKey{}) != "value" {
			return broker.Permanent(errors.New("the values of Subscribe's context do not reach the handler"))
		}
		return context.Cause(ctx)
	})
	ctx, cancel := context.WithCancel(context.WithValue(e.Context(), contextKey{}, "value"))
	_, err := b.Subscribe(ctx, topic, in.handle, broker.Queue(e.queue("q")), broker.Backoff(0, 0))
	e.must("subscribe", err)
	cancel()
	ms, ids := series("k", 5)
	e.publish(b, topic, ms...)
	in.wantOrder(ids...)
	if _, err := b.Subscribe(ctx, topic, in.handle); !errors.Is(err, context.Canceled) {
		e.Errorf("subscribe with a done context: got %v, want context.Canceled", err)
	}
}

func (e *env) subscriberTells() {
	b, topic, queue := e.connect(), e.topic("t"), e.queue("q")
	sub := e.subscribe(b, topic, e.inbox(nil), broker.Queue(queue), broker.MaxInFlight(3))
	if got := sub.Topic(); got != topic {
		e.Errorf("Topic: got %q, want %q", got, topic)
	}
	if o := sub.Options(); o.Queue != queue || o.MaxInFlight != 3 || o.BackoffMin != time.Millisecond {
		e.Errorf("Options: got %+v", o)
	}
	if b.String() == "" {
		e.Error("String is empty")
	}
}

func (e *env) wrongOptions() {
	b, topic, h := e.connect(), e.topic("t"), e.inbox(nil).handle
	for name, opts := range map[string][]broker.SubscribeOption{
		"MaxInFlight 0":             {broker.MaxInFlight(0)},
		"MaxInFlight negative":      {broker.MaxInFlight(-1)},
		"Window below MaxInFlight":  {broker.MaxInFlight(4), broker.Window(3)},
		"MaxAttempts negative":      {broker.MaxAttempts(-1)},
		"DropAfter 0":               {broker.DropAfter(0)},
		"MaxDeliveries negative":    {broker.MaxDeliveries(-1)},
		"Backoff upside down":       {broker.Backoff(time.Second, time.Millisecond)},
		"Backoff negative":          {broker.Backoff(-1, 0)},
		"dead letter to itself":     {broker.Queue("q"), broker.DeadLetter(topic)},
		"dead letter not a topic":   {broker.DeadLetter("a..b")},
		"queue not a name":          {broker.Queue("a b")},
		"MaxAttempts but no letter": {broker.MaxAttempts(3)},
	} {
		if sub, err := b.Subscribe(e.within(e.Deadline), topic, h, opts...); err == nil {
			e.Errorf("subscribe with %s: got nil, want an error", name)
			e.unsubscribe(sub)
		}
	}
	if _, err := b.Subscribe(e.within(e.Deadline), "a..b", h); !errors.Is(err, broker.ErrInvalidTopic) {
		e.Errorf("subscribe to a wrong topic: got %v, want ErrInvalidTopic", err)
	}
	if _, err := b.Subscribe(e.within(e.Deadline), topic, nil); err == nil {
		e.Error("subscribe without a handler: got nil, want an error")
	}
}

// unsupportedOptions is about what the broker cannot do. A broker that can do
// all passes it without a word.
func (e *env) unsupportedOptions() {
	b, topic, h := e.connect(), e.topic("t"), e.inbox(nil).handle
	want := func(what string, err error) {
		e.Helper()
		if !errors.Is(err, broker.ErrUnsupported) {
			e.Errorf("%s: got %v, want ErrUnsupported", what, err)
		}
	}
	if deliveryCount(e.suite) != "" {
		_, err := b.Subscribe(e.within(e.Deadline), topic, h, broker.Queue(e.queue("q")), broker.MaxDeliveries(3))
		want("MaxDeliveries", err)
	}
	if declares(e.suite) != "" {
		_, err := b.Subscribe(e.within(e.Deadline), topic, h, broker.Queue(e.queue("q")), broker.DeadLetter(e.topic("dead")))
		want("DeadLetter", err)
		if d, ok := b.(interface {
			DeclareQueue(ctx context.Context, topic, queue string) error
		}); ok {
			want("DeclareQueue", d.DeclareQueue(e.within(e.Deadline), topic, e.queue("q")))
		}
	}
	if noWait(e.suite) != "" {
		err := b.Publish(e.within(e.Deadline), topic, message("", "x"), broker.NoWait())
		e.checkRefusal(topic, err, broker.ErrRejected, broker.ErrUnsupported)
	}
	want("Init with a foreign option", e.open().Init(broker.DriverOption(contextKey{})))
	want("Init while connected", b.Init(broker.MaxMessageBytes(1)))
}

// heldStays holds three messages for longer than the ack wait: one runs, one
// waits behind it, one is parked. An idle member would get them if the transport
// delivered them again.
func (e *env) heldStays() {
	topic, queue, long := e.topic("t"), e.queue("q"), e.info.AckWait*5/2
	in := e.inbox(func(ctx context.Context, c call) error {
		switch {
		case c.id == "parked" && c.attempt == 1:
			return broker.RetryAfter(errFailed, long)
		case c.id == "k-0000":
			return pause(ctx, long)
		}
		return nil
	})
	publisher := e.connect()
	e.subscribe(e.connect(), topic, in, broker.Queue(queue), broker.MaxInFlight(2))
	ms, ids := series("k", 2)
	e.publish(publisher, topic, append(ms, message("other", "parked"))...)
	in.awaitCalls(2)
	e.subscribe(e.connect(), topic, in, broker.Queue(queue), broker.MaxInFlight(2))
	in.awaitHandled(3)
	in.checkAttempts(func(id string) int {
		if id == "parked" {
			return 1
		}
		return 0
	})
	e.fence(publisher, topic, "k", in)
	in.wantHandled(append(ids, "parked")...)
}
