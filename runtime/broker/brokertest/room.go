package brokertest

import (
	"context"
	"errors"
	"time"

	"github.com/micro-event/micro-event/runtime/broker"
)

func roomTests() []test {
	return []test{
		{"P3_context_bounds_waiting_for_room", (*env).contextBoundsWaiting, []need{bounded, returnsEarly}},
		{"P2_a_withdrawn_message_is_never_delivered", (*env).withdrawnNeverDelivered, []need{bounded, returnsEarly}},
		{"P6_a_full_queue_loses_nothing", (*env).fullQueueLosesNothing, []need{bounded, returnsEarly}},
		{"P6_a_slow_subscriber_loses_nothing", (*env).slowSubscriberLosesNothing, []need{atLeastOnce}},
		{"P6_no_wait_is_backpressure", (*env).noWaitIsBackpressure, []need{bounded, noWait, returnsEarly}},
	}
}

// full is a queue without room.
type full struct {
	publisher broker.Broker
	topic     string
	queue     string
	ids       []string
	holding   *gate
	in        *inbox
}

// fill fills a queue whose only member holds the first message at the gate.
func (e *env) fill() *full {
	e.Helper()
	f := &full{publisher: e.connect(), topic: e.topic("full"), queue: e.queue("q"), holding: e.gate()}
	f.in = e.inbox(f.holding.hold())
	e.subscribe(e.connect(), f.topic, f.in, broker.Queue(f.queue))
	ms, ids := series("k", e.Capacity)
	e.publish(f.publisher, f.topic, ms...)
	f.ids = ids
	return f
}

// drained lets the handler go and returns when the queue is empty.
func (f *full) drained(e *env) {
	e.Helper()
	f.holding.release()
	f.in.awaitHandled(len(f.ids))
	e.fence(f.publisher, f.topic, "k", f.in)
}

// brief is how long tests let a Publish wait that must fail in the end.
const brief = 50 * time.Millisecond

func (e *env) contextBoundsWaiting() {
	f := e.fill()
	ctx, cancel := context.WithTimeout(e.Context(), brief)
	defer cancel()
	err := await(e, "Publish to end with its context", start(func() error {
		return f.publisher.Publish(ctx, f.topic, message("k", "waiting"))
	}))
	if !errors.Is(err, context.DeadlineExceeded) {
		e.Errorf("publish to a full queue: got %v, want an error that wraps DeadlineExceeded", err)
	}
	if !isNotDelivered(err) && !errors.Is(err, broker.ErrUncertain) {
		e.Errorf("publish to a full queue: %v says nothing about the message", err)
	}
}

func (e *env) withdrawnNeverDelivered() {
	f := e.fill()
	var withdrawn []string
	for _, id := range []string{"waiting-1", "waiting-2", "waiting-3"} {
		ctx, cancel := context.WithTimeout(e.Context(), brief)
		err := f.publisher.Publish(ctx, f.topic, message("k", id))
		cancel()
		if err == nil {
			e.Fatalf("publish to a full queue: got nil, want an error")
		}
		if isNotDelivered(err) {
			withdrawn = append(withdrawn, id)
		}
	}
	f.drained(e)
	f.in.wantAbsent("its Publish had certainly failed", withdrawn...)
}

// fullQueueLosesNothing publishes more than there is room for. Publish must wait
// until there is some.
func (e *env) fullQueueLosesNothing() {
	f := e.fill()
	more, ids := series("more", 20)
	published := start(func() error {
		for _, m := range more {
			if err := f.publisher.Publish(e.Context(), f.topic, m); err != nil {
				return err
			}
		}
		return nil
	})
	time.AfterFunc(brief, f.holding.release)
	e.must("publish to a full queue", await(e, "Publish to find room", published))
	f.in.wantHandled(append(ids, f.ids...)...)
}

func (e *env) slowSubscriberLosesNothing() {
	b, topic := e.connect(), e.topic("t")
	in := e.inbox(func(ctx context.Context, _ call) error { return pause(ctx, time.Millisecond) })
	e.subscribe(b, topic, in, broker.Queue(e.queue("q")))
	ms, ids := series("k", 100)
	e.publish(b, topic, ms...)
	in.wantOrder(ids...)
}

func (e *env) noWaitIsBackpressure() {
	f := e.fill()
	err := await(e, "Publish with NoWait", start(func() error {
		return f.publisher.Publish(e.Context(), f.topic, message("k", "no wait"), broker.NoWait())
	}))
	e.checkRefusal(f.topic, err, broker.ErrNotDelivered, broker.ErrBackpressure)
	f.drained(e)
	f.in.wantAbsent("its Publish had failed", "no wait")
	e.must("publish with NoWait when there is room",
		f.publisher.Publish(e.within(e.Deadline), f.topic, message("k", "room"), broker.NoWait()))
	f.in.awaitHandled(len(f.ids) + 1)
}
