package brokertest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/micro-event/micro-event/runtime/broker"
)

func poisonTests() []test {
	return []test{
		{"H4_a_dead_letter_says_where_it_came_from", (*env).letterSaysOrigin, []need{declares}},
		{"H4_a_dead_letter_may_exceed_the_limits", (*env).letterExceedsLimits, []need{declares}},
		{"H4_a_failing_dead_letter_repeats_only_itself", (*env).letterRepeats, []need{declares, outlives}},
		{"H4_never_during_a_drain", (*env).noLetterInDrain, []need{declares, outlives}},
		{"H4_without_a_dead_letter_poison_is_dropped_by_name", (*env).poisonDropped, nil},
		{"H4_redrive_returns_to_the_queue_that_failed", (*env).redriveReturns, []need{declares}},
		{"H5_max_deliveries_ends_a_crash_loop", (*env).maxDeliveries, []need{deliveryCount, declares, outlives}},
	}
}

// letterSaysOrigin reads the dead letter after it was written: Subscribe has to
// declare the queue that keeps it.
func (e *env) letterSaysOrigin() {
	buried := make(chan broker.PoisonInfo, 10)
	b := e.connect(broker.WithHooks(broker.Hooks{DeadLettered: func(p broker.PoisonInfo) { buried <- p }}))
	topic, dead, queue := e.topic("t"), e.topic("dead"), e.queue("q")
	cause := errors.New("cause\x00of\r\ndeath ☠ ")
	in := e.inbox(func(context.Context, call) error { return broker.Permanent(cause) })
	e.subscribe(b, topic, in, broker.Queue(queue), broker.DeadLetter(dead))
	m := &broker.Message{Key: "k", Header: awkwardHeaders(), Body: []byte("poison")}
	begin := time.Now()
	e.publish(b, topic, m)
	p := await(e, "the hook DeadLettered", buried)
	if p.Topic != topic || p.Queue != queue || p.DeadLetter != dead || p.Attempts != 1 || !errors.Is(p.Err, cause) {
		e.Errorf("PoisonInfo: got %+v", p)
	}
	letters := e.inbox(nil)
	e.subscribe(b, dead, letters, broker.Queue(broker.DeadLetterQueue))
	letters.awaitHandled(1)
	got := letters.snapshot()[0].message
	e.checkLetter(got.Header, topic, queue, cause, begin)
	for name := range got.Header {
		if strings.HasPrefix(name, "micro-dead-letter-") {
			delete(got.Header, name)
		}
	}
	e.checkSame("the dead letter without its own headers", got, *m)
}

func (e *env) checkLetter(h broker.Header, topic, queue string, cause error, begin time.Time) {
	e.Helper()
	want := map[string]string{
		broker.DeadLetterTopicHeader:    topic,
		broker.DeadLetterQueueHeader:    queue,
		broker.DeadLetterAttemptsHeader: "1",
	}
	for name, value := range want {
		if h[name] != value {
			e.Errorf("header %s: got %q, want %q", name, h[name], value)
		}
	}
	if text := h[broker.DeadLetterCauseHeader]; !strings.Contains(text, cause.Error()) {
		e.Errorf("header %s: got %q, want %q in it", broker.DeadLetterCauseHeader, text, cause)
	}
	for _, name := range []string{broker.DeadLetterReceivedHeader, broker.DeadLetterTimeHeader} {
		at, err := time.Parse(time.RFC3339Nano, h[name])
		if err != nil || at.Before(begin.Add(-time.Second)) || at.After(time.Now().Add(time.Second)) {
			e.Errorf("header %s: got %q (%v), want the time of this test", name, h[name], err)
		}
	}
}

func (e *env) letterExceedsLimits() {
	b, topic, dead := e.connect(), e.topic("t"), e.topic("dead")
	in := e.inbox(func(context.Context, call) error {
		return broker.Permanent(errors.New(strings.Repeat("long ", 1000)))
	})
	letters := e.inbox(nil)
	e.subscribe(b, dead, letters, broker.Queue(broker.DeadLetterQueue))
	e.subscribe(b, topic, in, broker.Queue(e.queue("q")), broker.DeadLetter(dead))
	m := &broker.Message{Header: fullHeaders(), Body: []byte("full")}
	e.publish(b, topic, m)
	letters.awaitHandled(1)
	got := letters.snapshot()[0].message
	for name, value := range m.Header {
		if got.Header[name] != value {
			e.Fatalf("header %.20q of the dead letter has %d bytes, want %d", name, len(got.Header[name]), len(value))
		}
	}
	if got.Header[broker.DeadLetterTopicHeader] != topic {
		e.Errorf("the dead letter lacks header %s", broker.DeadLetterTopicHeader)
	}
}

// letterRepeats uses a subscriber whose limit is below the size of the message,
// so that no dead letter can be published, and one that can as its successor.
func (e *env) letterRepeats() {
	topic, dead, queue, publisher := e.topic("t"), e.topic("dead"), e.queue("q"), e.connect()
	poisonous := func(ctx context.Context, c call) error {
		if c.key == "poison" {
			return broker.Permanent(errFailed)
		}
		return failTimes(30)(ctx, c)
	}
	first, second, letters := e.inbox(poisonous), e.inbox(poisonous), e.inbox(nil)
	sub := e.subscribe(e.connect(broker.MaxMessageBytes(64)), topic, first, broker.Queue(queue), broker.DeadLetter(dead))
	e.subscribe(publisher, dead, letters, broker.Queue(broker.DeadLetterQueue))
	big := strings.Repeat("poison", 100)
	e.publish(publisher, topic, message("poison", big))
	first.awaitCalls(1)
	e.publish(publisher, topic, message("other", "thirty attempts")) // the dead letter is tried as often meanwhile
	first.awaitHandled(1)
	if n := len(first.of(big)); n != 1 {
		e.Errorf("calls of the handler while the dead letter failed: got %d, want 1", n)
	}
	e.unsubscribe(sub)
	letters.wantAbsent("it is larger than the limit of the subscriber", big)
	e.subscribe(e.connect(), topic, second, broker.Queue(queue), broker.DeadLetter(dead))
	letters.wantOrder(big)
}

// noLetterInDrain lets a drain cancel a handler that then fails for good.
func (e *env) noLetterInDrain() {
	topic, dead, queue, b := e.topic("t"), e.topic("dead"), e.queue("q"), e.connect()
	letters := e.inbox(nil)
	e.subscribe(b, dead, letters, broker.Queue(broker.DeadLetterQueue))
	in := e.inbox(func(ctx context.Context, _ call) error {
		select {
		case <-ctx.Done():
		case <-e.Context().Done():
		}
		return broker.Permanent(errFailed)
	})
	sub := e.subscribe(b, topic, in, broker.Queue(queue), broker.DeadLetter(dead), broker.MaxAttempts(1))
	e.publish(b, topic, message("k", "cut"))
	in.awaitCalls(1)
	e.must("unsubscribe", sub.Unsubscribe(e.within(brief)))
	second := e.inbox(nil)
	e.subscribe(e.connect(), topic, second, broker.Queue(queue))
	second.wantOrder("cut")
	if got := second.snapshot()[0].attempt; got != 1 {
		e.Errorf("attempt after the drain: got %d, want 1", got)
	}
	e.fence(b, dead, "k", letters)
	letters.wantAbsent("it failed during a drain", "cut")
}

func (e *env) poisonDropped() {
	dropped := make(chan broker.PoisonInfo, 10)
	b := e.connect(broker.WithHooks(broker.Hooks{Dropped: func(p broker.PoisonInfo) { dropped <- p }}))
	topic, in := e.topic("t"), e.inbox(nil)
	in.reply = func(_ context.Context, c call) error {
		if c.id == "poison" {
			return broker.Permanent(errFailed)
		}
		return nil
	}
	e.subscribe(b, topic, in, broker.Queue(e.queue("q")))
	e.publish(b, topic, message("k", "poison"), message("k", "good"))
	in.wantOrder("good")
	if n := len(in.of("poison")); n != 1 {
		e.Errorf("attempts after a permanent error: got %d, want 1", n)
	}
	p := await(e, "the hook Dropped", dropped)
	if !errors.Is(p.Err, errFailed) || p.DeadLetter != "" || string(p.Message.Body) != "poison" {
		e.Errorf("PoisonInfo: got %+v", p)
	}
}

// redriveReturns redrives what one of two queues gave up.
func (e *env) redriveReturns() {
	b, topic, dead := e.connect(), e.topic("t"), e.topic("dead")
	r := ability[interface {
		Redrive(ctx context.Context, deadLetter string) (int, error)
	}](e, b, "Redrive")
	mended := e.gate()
	broken, healthy := e.inbox(nil), e.inbox(nil)
	broken.reply = func(context.Context, call) error {
		select {
		case <-mended.open:
			return nil
		default:
			return broker.Permanent(errFailed)
		}
	}
	e.subscribe(b, topic, broken, broker.Queue(e.queue("broken")), broker.DeadLetter(dead))
	e.subscribe(b, topic, healthy, broker.Queue(e.queue("healthy")))
	want := &broker.Message{Key: "k", Header: awkwardHeaders(), Body: []byte("k-0000")}
	e.publish(b, topic, want, message("k", "k-0001"), message("k", "k-0002"))
	healthy.wantOrder("k-0000", "k-0001", "k-0002")
	e.fence(b, topic, "k", broken, healthy)
	mended.release()
	n, err := r.Redrive(e.within(e.Deadline), dead)
	e.must("redrive", err)
	if n != 3 {
		e.Errorf("redriven: got %d, want 3", n)
	}
	broken.wantOrder("k-0000", "k-0001", "k-0002")
	e.checkSame("the redriven message", broken.of("k-0000")[1].message, *want)
	e.fence(b, topic, "k", broken, healthy)
	healthy.wantOrder("k-0000", "k-0001", "k-0002")
}

// maxDeliveries gives a message back so often that the transport has delivered
// it more often than allowed.
func (e *env) maxDeliveries() {
	topic, dead, queue, b := e.topic("t"), e.topic("dead"), e.queue("q"), e.connect()
	e.declare(b, topic, queue)
	e.publish(b, topic, message("k", "crash"))
	for i := range 3 {
		in := e.inbox(func(context.Context, call) error { return broker.RetryAfter(errFailed, 10*e.Deadline) })
		sub := e.subscribe(b, topic, in, broker.Queue(queue))
		in.await(fmt.Sprint("delivery ", i+1), func() bool { return len(in.calls) == 1 && in.running == 0 })
		e.unsubscribe(sub)
	}
	in, letters := e.inbox(nil), e.inbox(nil)
	e.subscribe(b, dead, letters, broker.Queue(broker.DeadLetterQueue))
	e.subscribe(b, topic, in, broker.Queue(queue), broker.MaxDeliveries(3), broker.DeadLetter(dead))
	letters.wantOrder("crash")
	e.fence(b, topic, "k", in)
	in.wantAbsent("it was delivered more than MaxDeliveries times", "crash")
}
