package brokertest

import (
	"context"
	"fmt"
	"time"

	"github.com/micro-event/micro-event/runtime/broker"
)

func retryTests() []test {
	return []test{
		{"H2_retried_without_end_by_default", (*env).retriedWithoutEnd, nil},
		{"H2_backoff_grows_within_its_bounds", (*env).backoffGrows, nil},
		{"H2_attempts_are_counted_across_members", (*env).attemptsAcrossMembers, []need{persistent, outlives}},
		{"H2_max_attempts_gives_up", (*env).maxAttempts, []need{declares}},
		{"H2_drop_after_drops_by_name", (*env).dropAfter, nil},
		{"H3_a_retry_holds_its_key_only", (*env).retryHoldsKey, nil},
		{"H3_a_parked_retry_holds_no_slot", (*env).parkedHoldsNoSlot, nil},
		{"H3_the_window_bounds_what_is_held", (*env).windowBounds, nil},
	}
}

func (e *env) retriedWithoutEnd() {
	b, topic, in := e.connect(), e.topic("t"), e.inbox(failTimes(50))
	e.subscribe(b, topic, in, broker.Queue(e.queue("q")), broker.Backoff(0, 0))
	e.publish(b, topic, message("k", "stubborn"))
	in.awaitHandled(1)
	in.checkAttempts(func(string) int { return 50 })
}

func (e *env) backoffGrows() {
	b, topic, in := e.connect(), e.topic("t"), e.inbox(failTimes(4))
	e.subscribe(b, topic, in, broker.Queue(e.queue("q")), broker.Backoff(10*time.Millisecond, 40*time.Millisecond))
	e.publish(b, topic, message("k", "later"))
	in.awaitHandled(1)
	calls := in.snapshot()
	for i, milliseconds := range []int{10, 15, 30, 30} { // three quarters of the doubled ones, for jitter
		least := time.Duration(milliseconds) * time.Millisecond
		if got := calls[i+1].began.Sub(calls[i].began); got < least {
			e.Errorf("delay after failure %d: got %v, want at least %v", i+1, got, least)
		}
	}
}

// attemptsAcrossMembers parks a message that failed twice and gives it to
// another member.
func (e *env) attemptsAcrossMembers() {
	topic, queue := e.topic("t"), e.queue("q")
	first := e.inbox(func(_ context.Context, c call) error {
		if c.attempt == 2 {
			return broker.RetryAfter(errFailed, 10*e.Deadline)
		}
		return errFailed
	})
	b := e.connect()
	sub := e.subscribe(b, topic, first, broker.Queue(queue))
	e.publish(b, topic, message("k", "moved"))
	first.await("two failures", func() bool { return len(first.calls) == 2 && first.running == 0 })
	e.unsubscribe(sub)
	second := e.inbox(nil)
	e.subscribe(e.connect(), topic, second, broker.Queue(queue))
	second.awaitHandled(1)
	if got := second.snapshot()[0].attempt; got != 3 {
		e.Errorf("attempt at the second member: got %d, want 3", got)
	}
}

func (e *env) maxAttempts() {
	b, topic, dead := e.connect(), e.topic("t"), e.topic("dead")
	in, letters := e.inbox(failTimes(100, "poison")), e.inbox(nil)
	e.subscribe(b, dead, letters, broker.Queue(broker.DeadLetterQueue))
	e.subscribe(b, topic, in, broker.Queue(e.queue("q")), broker.MaxAttempts(3), broker.DeadLetter(dead))
	e.publish(b, topic, message("k", "poison"), message("k", "good"))
	letters.wantOrder("poison")
	in.wantOrder("good")
	in.checkAttempts(func(id string) int { return map[string]int{"poison": 2}[id] })
	if got := letters.snapshot()[0].message.Header[broker.DeadLetterAttemptsHeader]; got != "3" {
		e.Errorf("header %s: got %q, want 3", broker.DeadLetterAttemptsHeader, got)
	}
}

func (e *env) dropAfter() {
	dropped := make(chan broker.PoisonInfo, 10)
	b := e.connect(broker.WithHooks(broker.Hooks{Dropped: func(p broker.PoisonInfo) { dropped <- p }}))
	topic, queue, in := e.topic("t"), e.queue("q"), e.inbox(failTimes(100, "poison"))
	e.subscribe(b, topic, in, broker.Queue(queue), broker.DropAfter(2))
	e.publish(b, topic, message("k", "poison"), message("k", "good"))
	in.wantOrder("good")
	in.checkAttempts(func(id string) int { return map[string]int{"poison": 1}[id] })
	p := await(e, "the hook Dropped", dropped)
	if p.Topic != topic || p.Queue != queue || p.DeadLetter != "" || p.Attempts != 2 || string(p.Message.Body) != "poison" {
		e.Errorf("PoisonInfo: got %+v", p)
	}
}

// retryHoldsKey parks the first message of a key: those behind it must wait,
// other keys must not.
func (e *env) retryHoldsKey() {
	b, topic, g := e.connect(), e.topic("t"), e.gate()
	in := e.inbox(func(_ context.Context, c call) error {
		select {
		case <-g.open:
			return nil
		default:
		}
		if c.key == "a" {
			return errFailed // until the gate is open
		}
		return nil
	})
	e.subscribe(b, topic, in, broker.Queue(e.queue("q")), broker.MaxInFlight(2))
	a, idsA := series("a", 3)
	e.publish(b, topic, a...)
	in.awaitCalls(1)
	others, idsB := series("b", 10)
	e.publish(b, topic, others...)
	in.wantOrder(idsB...)
	tried := len(in.of("a-0000"))
	in.await("more retries", func() bool { return countCalls(in.calls, "a-0000") >= tried+3 })
	in.wantAbsent("the first of its key is yet to be retried", idsA[1:]...)
	g.release()
	in.awaitHandled(len(idsA) + len(idsB))
	in.checkKeyOrder(len(idsA) + len(idsB))
}

func countCalls(calls []call, id string) int {
	n := 0
	for _, c := range calls {
		if c.id == id {
			n++
		}
	}
	return n
}

// parkedHoldsNoSlot parks several messages of a subscription with one slot.
func (e *env) parkedHoldsNoSlot() {
	b, topic := e.connect(), e.topic("t")
	in := e.inbox(func(_ context.Context, c call) error {
		if c.key != "good" {
			return broker.RetryAfter(errFailed, 10*e.Deadline)
		}
		return nil
	})
	e.subscribe(b, topic, in, broker.Queue(e.queue("q")), broker.MaxInFlight(1))
	const parked = 10
	for i := range parked {
		e.publish(b, topic, message(fmt.Sprint("parked", i), "parked"))
	}
	in.awaitCalls(parked)
	ms, ids := series("good", 10)
	e.publish(b, topic, ms...)
	in.wantOrder(ids...)
}

// windowBounds lets every message fail once and counts those that were begun
// and not finished.
func (e *env) windowBounds() {
	b, topic := e.connect(), e.topic("t")
	in := e.inbox(func(_ context.Context, c call) error {
		if c.attempt == 1 {
			return broker.RetryAfter(errFailed, 10*time.Millisecond)
		}
		return nil
	})
	const window, n = 4, 20
	e.subscribe(b, topic, in, broker.Queue(e.queue("q")), broker.MaxInFlight(1), broker.Window(window))
	for i := range n {
		e.publish(b, topic, message(fmt.Sprint("key", i), fmt.Sprint("m", i)))
	}
	in.awaitHandled(n)
	held, most := make(map[string]bool), 0
	for _, c := range in.snapshot() {
		held[c.id] = true
		most = max(most, len(held))
		if c.succeeded() {
			delete(held, c.id)
		}
	}
	if most > window || most < 2 {
		e.Errorf("messages held at once: got %d, want 2 to %d", most, window)
	}
}
