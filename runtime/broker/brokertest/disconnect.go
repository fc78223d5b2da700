package brokertest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/micro-event/micro-event/runtime/broker"
)

func disconnectTests() []test {
	return []test{
		{"U3_disconnect_drains_subscriptions", (*env).disconnectDrains, nil},
		{"U3_a_draining_handler_may_publish", (*env).drainingHandlerPublishes, nil},
		{"U3_disconnect_while_publishing", (*env).disconnectWhilePublishing, nil},
		{"U3_disconnect_ends_a_waiting_publish", (*env).disconnectEndsWaiting, []need{bounded, returnsEarly}},
		{"U3_a_publish_that_is_cut_is_uncertain", (*env).cutIsUncertain, []need{returnsLate}},
		{"U3_disconnect_lists_what_was_cut", (*env).disconnectLists, nil},
		{"U3_disconnect_inside_a_handler", (*env).disconnectInside, nil},
		{"U3_connect_works_again", (*env).connectAgain, nil},
		{"U4_health_follows_the_connection", (*env).healthFollows, nil},
		{"U4_a_lost_connection_comes_back", (*env).comesBack, []need{interruptible}},
	}
}

func (e *env) disconnectDrains() {
	topic, g, b := e.topic("t"), e.gate(), e.connect()
	in := e.inbox(g.hold())
	e.subscribe(b, topic, in, broker.Queue(e.queue("q1")))
	e.subscribe(b, topic, in, broker.Queue(e.queue("q2")))
	e.publish(e.connect(), topic, message("k", "running"))
	in.awaitCalls(2)
	time.AfterFunc(brief, g.release)
	ended := start(func() int {
		if err := b.Disconnect(e.within(e.Deadline)); err != nil {
			e.Errorf("disconnect: %v", err)
		}
		return len(in.handled()) // at the moment of its return
	})
	if got := await(e, "Disconnect", ended); got != 2 {
		e.Errorf("handlers that had ended when Disconnect returned: got %d, want 2", got)
	}
}

// drainingHandlerPublishes publishes from a handler while Disconnect waits for it.
func (e *env) drainingHandlerPublishes() {
	topic, next, g, b := e.topic("t"), e.topic("next"), e.gate(), e.connect()
	after := e.inbox(nil)
	e.subscribe(e.connect(), next, after, broker.Queue(e.queue("q")))
	in := e.inbox(func(ctx context.Context, _ call) error {
		if err := g.pass(); err != nil {
			return err
		}
		if err := b.Publish(ctx, next, message("k", "last")); err != nil {
			e.Errorf("publish from a draining handler: %v", err)
		}
		return nil
	})
	e.subscribe(b, topic, in, broker.Queue(e.queue("q")))
	e.publish(e.connect(), topic, message("k", "running"))
	in.awaitCalls(1)
	ended := start(func() error { return b.Disconnect(e.within(e.Deadline)) })
	if h, ok := b.(health); ok {
		e.eventually("the drain to begin", func() error {
			if err := h.Health(e.within(e.Deadline)); err == nil {
				return errors.New("the broker is healthy")
			}
			return nil
		})
	}
	g.release()
	e.must("disconnect", await(e, "Disconnect", ended))
	after.wantOrder("last")
}

// disconnectWhilePublishing disconnects a broker that several goroutines publish
// through. What they were told must hold.
func (e *env) disconnectWhilePublishing() {
	topic, in, watcher, b := e.topic("t"), e.inbox(nil), e.connect(), e.connect()
	e.subscribe(watcher, topic, in, broker.Queue(e.queue("q")), broker.MaxInFlight(8))
	const publishers = 8
	var wg sync.WaitGroup
	var told verdicts
	for p := range publishers {
		wg.Go(func() { e.publishUntilClosed(b, topic, fmt.Sprint("key", p), &told) })
	}
	in.awaitHandled(100)
	e.must("disconnect", b.Disconnect(e.within(e.Deadline)))
	wg.Wait()
	for p := range publishers {
		e.fence(watcher, topic, fmt.Sprint("key", p), in)
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, id := range told.accepted {
		if !in.done[id] {
			e.Errorf("%q was accepted and is lost", id)
		}
	}
	for _, id := range told.never {
		if in.done[id] {
			e.Errorf("%q was delivered, although its Publish had certainly failed", id)
		}
	}
}

// verdicts is what publishers were told of their messages.
type verdicts struct {
	mu              sync.Mutex
	accepted, never []string
}

func (v *verdicts) note(id string, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case err == nil:
		v.accepted = append(v.accepted, id)
	case isNotDelivered(err):
		v.never = append(v.never, id)
	}
}

// publishUntilClosed publishes messages of one key until b is disconnected.
func (e *env) publishUntilClosed(b broker.Broker, topic, key string, told *verdicts) {
	for i := 0; ; i++ {
		id := fmt.Sprint(key, "-", i)
		err := b.Publish(e.Context(), topic, message(key, id))
		told.note(id, err)
		if err == nil {
			continue
		}
		if !errors.Is(err, broker.ErrClosed) {
			e.Errorf("publish while disconnecting: got %v, want ErrClosed", err)
		}
		return
	}
}

func (e *env) disconnectEndsWaiting() {
	f := e.fill()
	waiting := start(func() error {
		return f.publisher.Publish(e.Context(), f.topic, message("k", "waiting"))
	})
	ended := start(func() error { // a moment later, so that it does wait
		return errors.Join(pause(e.Context(), brief), f.publisher.Disconnect(e.within(4*brief)))
	})
	err := await(e, "the waiting Publish to end", waiting)
	if !errors.Is(err, broker.ErrClosed) {
		e.Errorf("publish that waits while disconnecting: got %v, want ErrClosed", err)
	}
	await(e, "Disconnect", ended) //nolint:errcheck // whether it had to cut the Publish depends on who was first
	f.publisher = e.connect()
	f.drained(e)
	if isNotDelivered(err) {
		f.in.wantAbsent("its Publish had certainly failed", "waiting")
	}
}

// cutIsUncertain disconnects the publisher of a message that a handler has.
func (e *env) cutIsUncertain() {
	topic, g, b := e.topic("t"), e.gate(), e.connect()
	in := e.inbox(g.hold())
	e.subscribe(e.connect(), topic, in, broker.Queue(e.queue("q")))
	published := start(func() error { return b.Publish(e.Context(), topic, message("k", "held")) })
	in.awaitCalls(1)
	ended := start(func() error { return b.Disconnect(e.within(brief)) })
	e.checkRefusal(topic, await(e, "Publish to be cut", published), broker.ErrUncertain, broker.ErrClosed)
	await(e, "Disconnect", ended) //nolint:errcheck // it may name the Publish or not
	g.release()
	in.awaitHandled(1)
}

func (e *env) disconnectLists() {
	topic, g, b := e.topic("listed"), e.gate(), e.connect()
	in := e.inbox(g.hold())
	sub := e.subscribe(b, topic, in, broker.Queue(e.queue("q")))
	e.publish(e.connect(), topic, message("k", "hangs"))
	in.awaitCalls(1)
	err := await(e, "Disconnect", start(func() error { return b.Disconnect(e.within(brief)) }))
	if err == nil || !strings.Contains(err.Error(), topic) {
		e.Errorf("disconnect with a hanging handler: got %v, want an error that names its topic %q", err, topic)
	}
	g.release()
	e.unsubscribe(sub)
}

func (e *env) disconnectInside() {
	topic, b := e.topic("t"), e.connect()
	errs := make(chan error, 10)
	in := e.inbox(func(ctx context.Context, _ call) error { errs <- b.Disconnect(ctx); return nil })
	e.subscribe(b, topic, in, broker.Queue(e.queue("q")))
	e.publish(e.connect(), topic, message("k", "inside"))
	if err := await(e, "Disconnect inside a handler", errs); !errors.Is(err, broker.ErrInHandler) {
		e.Errorf("disconnect inside a handler: got %v, want ErrInHandler", err)
	}
	in.awaitHandled(1)
}

func (e *env) connectAgain() {
	topic, queue, b := e.topic("t"), e.queue("q"), e.connect()
	e.must("connect a connected broker", b.Connect(e.within(e.Deadline)))
	for i := range 3 {
		in, key := e.inbox(nil), fmt.Sprint("round", i)
		e.subscribe(b, topic, in, broker.Queue(queue))
		ms, ids := series(key, 10)
		e.publish(b, topic, ms...)
		in.wantOrder(ids...)
		e.must("disconnect", b.Disconnect(e.within(e.Deadline)))
		e.must("disconnect again", b.Disconnect(e.within(e.Deadline)))
		e.must("connect again", b.Connect(e.within(e.Deadline)))
	}
}

// health is what brokers have that can say how they are.
type health interface {
	Health(ctx context.Context) error
}

func (e *env) healthFollows() {
	b := e.open()
	h := ability[health](e, b, "Health")
	if err := h.Health(e.within(e.Deadline)); !errors.Is(err, broker.ErrNotConnected) {
		e.Errorf("health before Connect: got %v, want ErrNotConnected", err)
	}
	e.must("connect", b.Connect(e.within(e.Deadline)))
	e.must("health", h.Health(e.within(e.Deadline)))
	e.must("disconnect", b.Disconnect(e.within(e.Deadline)))
	if err := h.Health(e.within(e.Deadline)); !errors.Is(err, broker.ErrClosed) {
		e.Errorf("health after Disconnect: got %v, want ErrClosed", err)
	}
}

// comesBack cuts the connection of a broker with two subscriptions.
func (e *env) comesBack() {
	lost, connected := make(chan error, 100), make(chan bool, 100)
	b := e.connect(broker.WithHooks(broker.Hooks{
		Lost:      func(_ string, err error) { lost <- err },
		Connected: func(_ string, again bool) { connected <- again },
	}))
	if again := await(e, "the hook Connected", connected); again {
		e.Error("the hook Connected, for the first connection: got again, want not")
	}
	topic, queue, own := e.topic("t"), e.inbox(nil), e.inbox(nil)
	e.subscribe(b, topic, queue, broker.Queue(e.queue("q")), broker.MaxInFlight(2))
	e.subscribe(b, topic, own)
	ms, ids := series("k", 5)
	e.publish(b, topic, ms...)
	queue.wantOrder(ids...)
	restore := e.Interrupt(e.TB)
	if err := await(e, "the hook Lost", lost); err == nil {
		e.Error("the hook Lost has no reason")
	}
	e.wantUnhealthy(b)
	restore()
	if again := await(e, "the hook Connected", connected); !again {
		e.Error("the hook Connected, after a loss: got not again, want again")
	}
	e.awaitHealthy(b)
	for i := range 3 {
		id := fmt.Sprint("after-", i)
		e.publishAgain(b, topic, message("k", id))
		for _, in := range []*inbox{queue, own} {
			in.await("the message "+id+" the loss", func() bool { return in.done[id] })
		}
	}
}

func (e *env) wantUnhealthy(b broker.Broker) {
	e.Helper()
	if h, ok := b.(health); ok && h.Health(e.within(e.Deadline)) == nil {
		e.Error("health of a broker whose connection is lost: got nil, want an error")
	}
}

// publishAgain publishes until it succeeds, as a caller would after a loss.
func (e *env) publishAgain(b broker.Broker, topic string, m *broker.Message) {
	e.Helper()
	e.eventually("Publish to succeed", func() error { return b.Publish(e.within(e.Deadline), topic, m) })
}

func (e *env) awaitHealthy(b broker.Broker) {
	e.Helper()
	if h, ok := b.(health); ok {
		e.eventually("health to return", func() error { return h.Health(e.within(e.Deadline)) })
	}
}

// eventually calls f until it returns nil.
func (e *env) eventually(what string, f func() error) {
	e.Helper()
	deadline := time.After(e.Deadline)
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for err := f(); err != nil; err = f() {
		select {
		case <-ticker.C:
		case <-deadline:
			e.Fatalf("waited %v for %s: %v", e.Deadline, what, err)
		}
	}
}
