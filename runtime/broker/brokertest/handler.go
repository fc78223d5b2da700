package brokertest

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/micro-event/micro-event/runtime/broker"
)

func handlerTests() []test {
	return []test{
		{"H1_nil_acknowledges", (*env).nilAcknowledges, []need{outlives}},
		{"H1_an_error_is_retried", (*env).errorRetried, nil},
		{"H1_permanent_is_given_up_at_once", (*env).permanentAtOnce, []need{declares}},
		{"H1_requeue_is_not_counted", (*env).requeueUncounted, nil},
		{"H1_retry_after_is_kept", (*env).retryAfterKept, nil},
		{"H1_a_panic_is_a_failed_attempt", (*env).panicFails, nil},
		{"H1_an_ended_goroutine_is_a_failed_attempt", (*env).goexitFails, nil},
		{"H1_a_handler_may_publish", (*env).handlerPublishes, nil},
		{"H5_each_attempt_gets_its_own_copy", (*env).ownCopyPerAttempt, nil},
		{"H5_each_queue_gets_its_own_copy", (*env).ownCopyPerQueue, nil},
	}
}

func (e *env) nilAcknowledges() {
	b, topic, queue := e.connect(), e.topic("t"), e.queue("q")
	first, second := e.inbox(nil), e.inbox(nil)
	sub := e.subscribe(b, topic, first, broker.Queue(queue))
	ms, ids := series("k", 20)
	e.publish(b, topic, ms...)
	first.wantOrder(ids...)
	e.unsubscribe(sub)
	e.subscribe(b, topic, second, broker.Queue(queue))
	e.fence(b, topic, "k", second)
	second.wantAbsent("it had been acknowledged", ids...)
}

func (e *env) errorRetried() {
	b, topic, in := e.connect(), e.topic("t"), e.inbox(failTimes(3, "k-0001"))
	e.subscribe(b, topic, in, broker.Queue(e.queue("q")))
	ms, ids := series("k", 3)
	e.publish(b, topic, ms...)
	in.wantOrder(ids...)
	in.checkAttempts(func(id string) int { return map[string]int{"k-0001": 3}[id] })
}

func (e *env) permanentAtOnce() {
	b, topic, dead := e.connect(), e.topic("t"), e.topic("dead")
	in := e.inbox(func(context.Context, call) error { return broker.Permanent(errFailed) })
	letters := e.inbox(nil)
	e.subscribe(b, dead, letters, broker.Queue(broker.DeadLetterQueue))
	e.subscribe(b, topic, in, broker.Queue(e.queue("q")), broker.DeadLetter(dead))
	e.publish(b, topic, message("k", "poison"))
	letters.wantOrder("poison")
	e.fence(b, topic, "k", in)
	if n := len(in.of("poison")); n != 1 {
		e.Errorf("attempts after a permanent error: got %d, want 1", n)
	}
}

// requeueUncounted requeues more often than MaxAttempts allows failures.
func (e *env) requeueUncounted() {
	b, topic := e.connect(), e.topic("t")
	var mu sync.Mutex
	requeues := 0
	in := e.inbox(func(_ context.Context, c call) error {
		mu.Lock()
		defer mu.Unlock()
		if c.id == "k-0000" && requeues < 5 {
			requeues++
			return broker.ErrRequeue
		}
		return nil
	})
	e.subscribe(b, topic, in, broker.Queue(e.queue("q")), broker.DropAfter(2))
	ms, ids := series("k", 2)
	e.publish(b, topic, ms...)
	in.wantOrder(ids...)
	calls := in.of("k-0000")
	if len(calls) != 6 {
		e.Errorf("calls: got %d, want 6", len(calls))
	}
	for _, c := range calls {
		if c.attempt != 1 {
			e.Errorf("attempt after a requeue: got %d, want 1", c.attempt)
		}
	}
}

func (e *env) retryAfterKept() {
	b, topic := e.connect(), e.topic("t")
	const delay = 60 * time.Millisecond
	in := e.inbox(func(_ context.Context, c call) error {
		if c.attempt == 1 {
			return broker.RetryAfter(errFailed, delay)
		}
		return nil
	})
	e.subscribe(b, topic, in, broker.Queue(e.queue("q")))
	e.publish(b, topic, message("k", "later"))
	in.awaitHandled(1)
	calls := in.snapshot()
	if got := calls[1].began.Sub(calls[0].began); got < delay {
		e.Errorf("time to the retry: got %v, want at least %v", got, delay)
	}
}

func (e *env) panicFails() {
	retries := make(chan broker.RetryInfo, 10)
	b := e.connect(broker.WithHooks(broker.Hooks{Retry: func(r broker.RetryInfo) { retries <- r }}))
	topic, queue := e.topic("t"), e.queue("q")
	in := e.inbox(func(_ context.Context, c call) error {
		if c.id == "k-0000" && c.attempt == 1 {
			panic(errFailed)
		}
		return nil
	})
	e.subscribe(b, topic, in, broker.Queue(queue))
	ms, ids := series("k", 2)
	e.publish(b, topic, ms...)
	in.wantOrder(ids...)
	in.checkAttempts(func(id string) int { return map[string]int{"k-0000": 1}[id] })
	r := await(e, "the hook Retry", retries)
	p, ok := errors.AsType[*broker.PanicError](r.Err)
	switch {
	case !ok:
		e.Errorf("RetryInfo.Err: got %v, want a *PanicError", r.Err)
	case !errors.Is(r.Err, errFailed):
		e.Errorf("RetryInfo.Err: %v does not wrap what the handler panicked with", r.Err)
	case !strings.Contains(string(p.Stack), "panicFails"):
		e.Errorf("PanicError.Stack does not show the handler:\n%s", p.Stack)
	}
	if r.Topic != topic || r.Queue != queue || r.Attempt != 1 || r.Message == nil || r.Message.Key != "k" {
		e.Errorf("RetryInfo: got %+v", r)
	}
}

// goexitFails ends the goroutine of a handler, as testing.T.FailNow does.
func (e *env) goexitFails() {
	b, topic := e.connect(), e.topic("t")
	in := e.inbox(func(_ context.Context, c call) error {
		if c.attempt == 1 {
			runtime.Goexit()
		}
		return nil
	})
	e.subscribe(b, topic, in, broker.Queue(e.queue("q")), broker.MaxInFlight(2))
	ms, ids := series("", 5)
	e.publish(b, topic, ms...)
	in.wantHandled(ids...)
}

func (e *env) handlerPublishes() {
	b, topic, next := e.connect(), e.topic("t"), e.topic("next")
	in := e.inbox(func(ctx context.Context, c call) error {
		return b.Publish(ctx, next, message(c.key, "after "+c.id))
	})
	after := e.inbox(nil)
	e.subscribe(b, next, after, broker.Queue(e.queue("q")))
	e.subscribe(b, topic, in, broker.Queue(e.queue("q")))
	ms, _ := series("k", 3)
	e.publish(b, topic, ms...)
	after.wantOrder("after k-0000", "after k-0001", "after k-0002")
}

// spoil changes all of a message that can be changed.
func spoil(m broker.Message) {
	for name := range m.Header {
		m.Header[name] = "spoilt"
	}
	if m.Header != nil {
		m.Header["added"] = "by an earlier attempt"
	}
	clear(m.Body)
}

func (e *env) ownCopyPerAttempt() {
	b, topic := e.connect(), e.topic("t")
	want := broker.Message{Key: "k", Header: broker.Header{"name": "value"}, Body: []byte("body")}
	in := e.inbox(func(_ context.Context, c call) error {
		if c.attempt <= 2 {
			spoil(c.message)
			return errFailed
		}
		return nil
	})
	e.subscribe(b, topic, in, broker.Queue(e.queue("q")))
	e.publish(b, topic, &want)
	in.awaitHandled(1)
	calls := in.snapshot()
	e.checkSame("the message of the third attempt", calls[len(calls)-1].message, want)
}

// ownCopyPerQueue spoils the copies of two subscriptions before a third one, and
// the caller, look.
func (e *env) ownCopyPerQueue() {
	b, topic := e.connect(), e.topic("t")
	gates := []*gate{e.gate(), e.gate(), e.gate()}
	want := broker.Message{Key: "k", Header: broker.Header{"name": "value"}, Body: []byte("body")}
	published := want.Clone()
	inboxes := make([]*inbox, len(gates))
	for i, g := range gates {
		inboxes[i] = e.inbox(func(_ context.Context, c call) error {
			err := g.pass()
			if i < 2 {
				spoil(c.message)
			}
			return err
		})
	}
	e.subscribe(b, topic, inboxes[0], broker.Queue(e.queue("q1")))
	e.subscribe(b, topic, inboxes[1])
	e.subscribe(b, topic, inboxes[2], broker.Queue(e.queue("q2")))
	e.publish(b, topic, &published)
	for _, in := range inboxes {
		in.awaitCalls(1)
	}
	for i, in := range inboxes { // one after the other
		gates[i].release()
		in.awaitHandled(1)
	}
	e.checkSame("the message of another queue", inboxes[2].snapshot()[0].message, want)
	e.checkSame("the published message", published, want)
}
