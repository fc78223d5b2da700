package brokertest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/micro-event/micro-event/runtime/broker"
)

func unsubscribeTests() []test {
	return []test{
		{"U1_unsubscribe_waits_for_running_handlers", (*env).waitsForHandlers, nil},
		{"U1_unsubscribe_cancels_at_its_deadline", (*env).cancelsAtDeadline, nil},
		{"U1_new_deliveries_stop_at_once", (*env).stopsAtOnce, []need{outlives}},
		{"U1_nothing_starts_after_unsubscribe", (*env).nothingStartsAfter, []need{outlives}},
		{"U1_unsubscribe_is_idempotent", (*env).unsubscribeTwice, nil},
		{"U1_unsubscribe_inside_its_handler", (*env).unsubscribeInside, []need{outlives}},
		{"U1_a_hanging_handler_is_named", (*env).hangingNamed, nil},
		{"U2_what_has_not_started_goes_back_uncounted", (*env).unstartedGoBack, []need{outlives}},
		{"U2_what_was_prefetched_goes_back_uncounted", (*env).prefetchedGoBack, []need{outlives}},
		{"U2_a_parked_retry_goes_back", (*env).parkedGoesBack, []need{outlives}},
		{"U2_a_cut_handler_is_given_back_uncounted", (*env).cutGoesBack, []need{outlives}},
		{"U2_order_holds_across_a_handover", (*env).orderAcrossHandover, []need{keyOrder, outlives}},
	}
}

func (e *env) waitsForHandlers() {
	b, topic, g := e.connect(), e.topic("t"), e.gate()
	in := e.inbox(g.hold())
	sub := e.subscribe(b, topic, in, broker.Queue(e.queue("q")), broker.MaxInFlight(3))
	ms, ids := series("", 3)
	e.publish(b, topic, ms...)
	in.awaitCalls(3)
	time.AfterFunc(brief, g.release)
	ended := start(func() []string {
		if err := sub.Unsubscribe(e.within(e.Deadline)); err != nil {
			e.Errorf("unsubscribe: %v", err)
		}
		return in.handled() // at the moment of its return
	})
	if got := await(e, "Unsubscribe", ended); len(got) != len(ids) {
		e.Errorf("handlers that had ended when Unsubscribe returned: got %v, want %v", got, ids)
	}
}

// cancelsAtDeadline has a handler that ends only when it is cancelled.
func (e *env) cancelsAtDeadline() {
	b, topic, g := e.connect(), e.topic("t"), e.gate()
	cut := make(chan error, 10)
	in := e.inbox(func(ctx context.Context, _ call) error {
		err := g.passOr(ctx)
		cut <- err
		return nil
	})
	sub := e.subscribe(b, topic, in, broker.Queue(e.queue("q")))
	e.publish(b, topic, message("k", "long"))
	in.awaitCalls(1)
	if err := await(e, "Unsubscribe", start(func() error { return sub.Unsubscribe(e.within(brief)) })); err != nil {
		e.Errorf("unsubscribe from a handler that obeys its context: %v", err)
	}
	if err := await(e, "the handler to be cancelled", cut); !errors.Is(err, context.Canceled) {
		e.Errorf("the handler's context: got %v, want context.Canceled", err)
	}
	if n := len(in.handled()); n != 1 {
		e.Error("Unsubscribe returned before its handler")
	}
}

// stopsAtOnce unsubscribes while a handler runs until it is cancelled: the
// messages behind it must not start when it ends.
func (e *env) stopsAtOnce() {
	b, topic, queue, g := e.connect(), e.topic("t"), e.queue("q"), e.gate()
	first := e.inbox(func(ctx context.Context, _ call) error {
		g.passOr(ctx) //nolint:errcheck // it ends in either case
		return nil
	})
	sub := e.subscribe(b, topic, first, broker.Queue(queue))
	ms, ids := series("k", 20)
	e.publish(b, topic, ms...)
	first.awaitCalls(1)
	e.must("unsubscribe", sub.Unsubscribe(e.within(brief)))
	second := e.inbox(nil)
	e.subscribe(b, topic, second, broker.Queue(queue))
	second.wantHandled(ids[1:]...)
	first.wantOrder(ids[0])
}

// nothingStartsAfter unsubscribes under load.
func (e *env) nothingStartsAfter() {
	b, topic, queue := e.connect(), e.topic("t"), e.queue("q")
	first, second := e.inbox(failSome), e.inbox(nil)
	sub := e.subscribe(b, topic, first, broker.Queue(queue), broker.MaxInFlight(8))
	const publishers, each = 4, 100
	var wg sync.WaitGroup
	for p := range publishers {
		ms, _ := series(string(rune('a'+p)), each)
		wg.Go(func() { e.publishBehind(b, topic, ms) })
	}
	first.awaitHandled(50)
	e.unsubscribe(sub)
	first.mu.Lock()
	begun, running := len(first.calls), first.running
	first.mu.Unlock()
	if running > 0 {
		e.Errorf("%d handlers were running when Unsubscribe returned nil", running)
	}
	e.subscribe(e.connect(), topic, second, broker.Queue(queue), broker.MaxInFlight(8))
	wg.Wait()
	for p := range publishers {
		e.fence(b, topic, string(rune('a'+p)), second)
	}
	if got := len(first.snapshot()); got != begun {
		e.Errorf("%d handlers started after Unsubscribe had returned", got-begun)
	}
	e.wantUnion(publishers*each, first, second)
}

// wantUnion waits until the inboxes together have handled n messages, and fails if
// one was handled twice. The first takes no more. What it gave back may come to the
// second behind a fence: two members do not keep the order.
func (e *env) wantUnion(n int, first, second *inbox) {
	e.Helper()
	all := make(map[string]int)
	for _, id := range first.handled() {
		all[id]++
	}
	second.await(fmt.Sprintf("%d messages handled by one or the other", n), func() bool {
		union := len(all)
		for id := range second.done {
			if all[id] == 0 {
				union++
			}
		}
		return union >= n
	})
	for _, id := range second.handled() {
		all[id]++
	}
	if len(all) != n {
		e.Errorf("messages handled by one or the other: got %d, want %d", len(all), n)
	}
	for id, times := range all {
		if times > 1 && !e.info.Capabilities.Contiguous {
			e.Errorf("message %q was handled %d times", id, times)
		}
	}
}

func (e *env) unsubscribeTwice() {
	b, topic, in := e.connect(), e.topic("t"), e.inbox(nil)
	sub := e.subscribe(b, topic, in, broker.Queue(e.queue("q")))
	e.fence(b, topic, "", in)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if err := sub.Unsubscribe(e.within(e.Deadline)); err != nil {
				e.Errorf("unsubscribe: %v", err)
			}
		})
	}
	wg.Wait()
	e.unsubscribe(sub)
}

func (e *env) unsubscribeInside() {
	b, topic, queue := e.connect(), e.topic("t"), e.queue("q")
	subs, errs := make(chan broker.Subscriber, 1), make(chan error, 10)
	first := e.inbox(func(ctx context.Context, _ call) error {
		sub := <-subs
		errs <- sub.Unsubscribe(ctx)
		subs <- sub
		return nil
	})
	sub := e.subscribe(b, topic, first, broker.Queue(queue))
	ms, ids := series("k", 5)
	e.publish(b, topic, ms...)
	subs <- sub
	if err := await(e, "Unsubscribe inside its handler", errs); !errors.Is(err, broker.ErrInHandler) {
		e.Errorf("unsubscribe inside its handler: got %v, want ErrInHandler", err)
	}
	e.unsubscribe(sub)
	second := e.inbox(nil)
	e.subscribe(b, topic, second, broker.Queue(queue))
	second.wantHandled(ids[1:]...)
	first.wantOrder(ids[0])
}

// hangingNamed has a handler that ignores its cancellation.
func (e *env) hangingNamed() {
	b, topic, g := e.connect(), e.topic("t"), e.gate()
	in := e.inbox(g.hold())
	sub := e.subscribe(b, topic, in, broker.Queue(e.queue("q")))
	e.publish(b, topic, message("the-hanging-one", "hangs"))
	in.awaitCalls(1)
	err := await(e, "Unsubscribe", start(func() error { return sub.Unsubscribe(e.within(brief)) }))
	if err == nil || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "the-hanging-one") {
		e.Errorf("unsubscribe: got %v, want an error that wraps DeadlineExceeded and names the key", err)
	}
	g.release()
	e.unsubscribe(sub)
	in.wantHandled("hangs")
}

// unstartedGoBack has messages behind the first one of their key, of which the
// last message shows that the member holds them.
func (e *env) unstartedGoBack() {
	topic, queue, g, publisher := e.topic("t"), e.queue("q"), e.gate(), e.connect()
	first, second := e.inbox(func(ctx context.Context, c call) error {
		if c.id != "last" {
			g.passOr(ctx) //nolint:errcheck // it ends in either case
		}
		return nil
	}), e.inbox(nil)
	sub := e.subscribe(e.connect(), topic, first, broker.Queue(queue), broker.MaxInFlight(2))
	ms, ids := series("k", 10)
	e.publish(publisher, topic, append(ms, message("other", "last"))...)
	first.await("the last message", func() bool { return first.done["last"] })
	e.must("unsubscribe", sub.Unsubscribe(e.within(brief)))
	e.subscribe(publisher, topic, second, broker.Queue(queue))
	second.wantFirstAttempts(ids[1:]...)
	first.wantAbsent("one of its key was still running", ids[1:]...)
	e.wantUnion(len(ids)+1, first, second)
}

// prefetchedGoBack finds more messages waiting than may be handled.
func (e *env) prefetchedGoBack() {
	topic, queue, g, publisher := e.topic("t"), e.queue("q"), e.gate(), e.connect()
	first, second := e.inbox(func(ctx context.Context, _ call) error {
		g.passOr(ctx) //nolint:errcheck // it ends in either case
		return nil
	}), e.inbox(nil)
	e.unsubscribe(e.subscribe(publisher, topic, first, broker.Queue(queue)))
	const ahead = 8
	ms, ids := series("", ahead+1)
	e.publish(publisher, topic, ms...)
	sub := e.subscribe(e.connect(), topic, first, broker.Queue(queue), broker.Prefetch(ahead))
	first.awaitCalls(1)
	e.must("unsubscribe", sub.Unsubscribe(e.within(brief)))
	calls := first.snapshot()
	if len(calls) != 1 {
		e.Errorf("calls with one handler at a time, which hangs: got %d, want 1", len(calls))
	}
	e.subscribe(publisher, topic, second, broker.Queue(queue))
	second.wantFirstAttempts(slices.DeleteFunc(ids, func(id string) bool { return id == calls[0].id })...)
	e.wantUnion(ahead+1, first, second)
}

func (e *env) parkedGoesBack() {
	topic, queue, publisher := e.topic("t"), e.queue("q"), e.connect()
	first, second := e.inbox(func(context.Context, call) error {
		return broker.RetryAfter(errFailed, 10*e.Deadline)
	}), e.inbox(nil)
	sub := e.subscribe(e.connect(), topic, first, broker.Queue(queue))
	ms, ids := series("k", 3)
	e.publish(publisher, topic, append(ms, message("other", "parked"))...)
	first.await("two parked messages", func() bool { return len(first.calls) == 2 && first.running == 0 })
	e.unsubscribe(sub)
	e.subscribe(publisher, topic, second, broker.Queue(queue))
	second.wantHandled(append(ids, "parked")...)
	for _, c := range second.snapshot() {
		if c.key == "k" && c.id != ids[0] && c.attempt != 1 {
			e.Errorf("attempt of %q, which had not started: got %d, want 1", c.id, c.attempt)
		}
	}
}

func (e *env) cutGoesBack() {
	topic, queue, publisher := e.topic("t"), e.queue("q"), e.connect()
	first := e.inbox(func(ctx context.Context, _ call) error { return e.gate().passOr(ctx) })
	sub := e.subscribe(e.connect(), topic, first, broker.Queue(queue))
	e.publish(publisher, topic, message("k", "cut"))
	first.awaitCalls(1)
	e.must("unsubscribe", sub.Unsubscribe(e.within(brief)))
	second := e.inbox(nil)
	e.subscribe(publisher, topic, second, broker.Queue(queue))
	second.wantOrder("cut")
	if got := second.snapshot()[0].attempt; got != 1 {
		e.Errorf("attempt after the drain: got %d, want 1", got)
	}
}

// orderAcrossHandover has another member waiting while the first one ends with
// one message running and more of its key behind it, in its window and beyond.
func (e *env) orderAcrossHandover() {
	topic, queue, g, publisher := e.topic("t"), e.queue("q"), e.gate(), e.connect()
	in := e.inbox(func(ctx context.Context, c call) error {
		if c.id == "k-0000" {
			g.passOr(ctx) //nolint:errcheck // it ends when it is cut
		}
		return nil
	})
	sub := e.subscribe(e.connect(), topic, in, broker.Queue(queue), broker.MaxInFlight(2), broker.Window(4))
	ms, _ := series("k", 20)
	e.publish(publisher, topic, append(ms[:3:3], message("other", "a"))...)
	in.await("the message behind those that are held, and the first of those", func() bool { // where Publish waits, other keys may overtake
		return in.done["a"] && slices.ContainsFunc(in.calls, func(c call) bool { return c.id == "k-0000" })
	})
	e.publish(publisher, topic, ms[3:10]...)
	e.subscribe(e.connect(), topic, in, broker.Queue(queue), broker.MaxInFlight(4))
	ended := start(func() error { return sub.Unsubscribe(e.within(brief)) })
	e.publish(publisher, topic, append(ms[10:], message("another", "b"))...)
	if !e.info.Capabilities.Contiguous { // a log goes to the other member as a whole
		in.await("a message at the other member", func() bool { return in.done["b"] })
	}
	e.must("unsubscribe", await(e, "Unsubscribe", ended))
	in.awaitEach(22)
	in.checkKeyOrder(22)
}
