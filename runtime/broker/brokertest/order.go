package brokertest

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"time"

	"github.com/micro-event/micro-event/runtime/broker"
)

func orderTests() []test {
	return []test{
		{"S4_one_at_a_time_by_default", (*env).oneAtATime, nil},
		{"S4_max_in_flight_is_used_and_kept", (*env).maxInFlight, nil},
		{"S4_key_order_with_8_in_flight_and_failures", (*env).keyOrderFailing, nil},
		{"S4_other_keys_go_ahead", (*env).otherKeysGoAhead, nil},
		{"S4_no_key_starts_in_arrival_order", (*env).noKeyInOrder, []need{returnsEarly}},
		{"S4_no_key_waits_for_no_retry", (*env).noKeyWaitsForNoRetry, nil},
		{"S4_key_order_across_members", (*env).keyOrderAcrossMembers, []need{keyOrder}},
	}
}

func (e *env) oneAtATime() {
	b, topic := e.connect(), e.topic("t")
	in := e.inbox(func(ctx context.Context, _ call) error { return pause(ctx, time.Millisecond) })
	e.subscribe(b, topic, in, broker.Queue(e.queue("q")))
	ms, ids := series("", 20)
	e.publish(b, topic, ms...)
	in.wantHandled(ids...)
	if in.most != 1 {
		e.Errorf("handlers at once: got %d, want 1", in.most)
	}
}

func (e *env) maxInFlight() {
	b, topic, g := e.connect(), e.topic("t"), e.gate()
	in := e.inbox(g.hold())
	const limit = 4
	e.subscribe(b, topic, in, broker.Queue(e.queue("q")), broker.MaxInFlight(limit))
	ms, ids := series("", 4*limit)
	e.publish(b, topic, ms...)
	in.await("all slots in use", func() bool { return in.running == limit })
	g.release()
	in.wantHandled(ids...)
	if in.most != limit {
		e.Errorf("handlers at once: got %d, want %d", in.most, limit)
	}
}

func (e *env) keyOrderFailing() {
	b, topic := e.connect(), e.topic("t")
	in := e.inbox(failSome)
	e.subscribe(b, topic, in, broker.Queue(e.queue("q")), broker.MaxInFlight(8))
	const keys, each = 10, 20
	for k := range keys {
		ms, _ := series(fmt.Sprint("key", k), each)
		e.publish(b, topic, ms...)
	}
	in.awaitHandled(keys * each)
	in.checkKeyOrder(keys * each)
	in.checkAttempts(failures)
}

// failures is how often failSome fails a message: 0, 1 or 2 times.
func failures(id string) int {
	h := fnv.New32a()
	h.Write([]byte(id))
	return max(0, int(h.Sum32()%5)-2)
}

func failSome(_ context.Context, c call) error {
	if c.attempt <= failures(c.id) {
		return errFailed
	}
	return nil
}

// otherKeysGoAhead blocks one key: the others must pass it, those behind it not.
func (e *env) otherKeysGoAhead() {
	b, topic, g := e.connect(), e.topic("t"), e.gate()
	in := e.inbox(g.hold("a-0000"))
	e.subscribe(b, topic, in, broker.Queue(e.queue("q")), broker.MaxInFlight(2))
	a, _ := series("a", 3)
	e.publish(b, topic, a...)
	in.awaitCalls(1)
	others, _ := series("b", 10)
	e.publish(b, topic, others...)
	in.awaitHandled(10)
	in.wantAbsent("the first of its key is still running", "a-0001", "a-0002")
	g.release()
	in.awaitHandled(13)
	in.checkKeyOrder(13)
}

func (e *env) noKeyInOrder() {
	b, topic, in := e.connect(), e.topic("t"), e.inbox(nil)
	e.subscribe(b, topic, in, broker.Queue(e.queue("q")))
	ms, ids := series("", 100)
	e.publish(b, topic, ms...)
	in.wantOrder(ids...)
}

// noKeyWaitsForNoRetry parks a message for longer than the test takes.
func (e *env) noKeyWaitsForNoRetry() {
	b, topic := e.connect(), e.topic("t")
	in := e.inbox(func(_ context.Context, c call) error {
		if c.id == "parked" {
			return broker.RetryAfter(errFailed, 10*e.Deadline)
		}
		return nil
	})
	e.subscribe(b, topic, in, broker.Queue(e.queue("q")))
	e.publish(b, topic, message("", "parked"))
	in.awaitCalls(1)
	ms, ids := series("", 20)
	e.publish(b, topic, ms...)
	in.wantHandled(ids...)
}

// keyOrderAcrossMembers lets members come and go while messages of some keys
// fail and are retried.
func (e *env) keyOrderAcrossMembers() {
	topic, queue, in := e.topic("t"), e.queue("q"), e.inbox(failSome)
	publisher := e.connect()
	join := func() broker.Subscriber {
		return e.subscribe(e.connect(), topic, in, broker.Queue(queue), broker.MaxInFlight(4))
	}
	members := []broker.Subscriber{join(), join(), join()}
	const keys, each, rounds = 8, 10, 6
	for round := range rounds {
		for k := range keys {
			for i := range each {
				e.publish(publisher, topic, message(fmt.Sprint("key", k), fmt.Sprintf("key%d-%04d", k, round*each+i)))
			}
		}
		e.unsubscribe(members[0])
		members = append(members[1:], join())
	}
	in.awaitEach(keys * each * rounds)
	in.checkKeyOrder(keys * each * rounds)
}

// checkKeyOrder fails unless n messages were handled once each, and those of
// each key in the order of their ids, without overlap, a retry before the next.
func (in *inbox) checkKeyOrder(n int) {
	in.env.Helper()
	last, done := make(map[string]call), make(map[string]bool)
	for _, c := range in.firstRuns() {
		before, ok := last[c.key]
		last[c.key] = c
		if c.succeeded() {
			done[c.id] = true
		}
		if !ok {
			continue
		}
		if err := follows(before, c); err != nil {
			in.env.Errorf("key %q: %q (attempt %d) after %q (attempt %d): %v", c.key, c.id, c.attempt, before.id, before.attempt, err)
		}
	}
	if len(done) != n {
		in.env.Errorf("handled messages: got %d, want %d", len(done), n)
	}
}

// firstRuns returns the calls without those that a log may repeat for messages
// that were handled before, after a member has left.
func (in *inbox) firstRuns() []call {
	calls := in.snapshot()
	if !in.env.info.Capabilities.Contiguous {
		return calls
	}
	ended := make(map[string]int) // of messages, when they were first handled
	for _, c := range calls {
		if at := ended[c.id]; c.succeeded() && (at == 0 || c.end < at) {
			ended[c.id] = c.end
		}
	}
	return slices.DeleteFunc(calls, func(c call) bool {
		at := ended[c.id]
		return at > 0 && c.start > at
	})
}

// follows returns why c may not come after before, the last call of its key.
func follows(before, c call) error {
	switch {
	case before.end == 0 || before.end > c.start:
		return errors.New("they overlap")
	case before.err != nil && c.id != before.id:
		return errors.New("the one before was to be retried first")
	case before.err == nil && c.id == before.id:
		return errors.New("it had been handled")
	case c.id < before.id:
		return errors.New("they are out of order")
	}
	return nil
}

// checkAttempts fails unless each message was attempted once more than it was to
// fail, with attempts that count from 1.
func (in *inbox) checkAttempts(failures func(id string) int) {
	in.env.Helper()
	seen := make(map[string]int)
	for _, c := range in.snapshot() {
		seen[c.id]++
		if c.attempt != seen[c.id] {
			in.env.Errorf("%q: call %d had attempt %d", c.id, seen[c.id], c.attempt)
		}
	}
	for id, got := range seen {
		if want := 1 + failures(id); got != want {
			in.env.Errorf("%q: got %d attempts, want %d", id, got, want)
		}
	}
}
