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

// errFailed is what handlers fail with.
var errFailed = errors.New("the test wants this attempt to fail")

// fencePrefix begins the ids of fences.
const fencePrefix = "fence-"

// reply decides how a handler ends. Nil acknowledges all.
type reply func(ctx context.Context, c call) error

// call is one call of a handler.
type call struct {
	id      string // body of the message
	key     string
	attempt int
	message broker.Message
	began   time.Time
	start   int // place among the starts and ends of all calls
	end     int // 0 while it runs
	err     error
}

func (c call) succeeded() bool { return c.end > 0 && c.err == nil }

// inbox handles messages as its reply says and remembers the calls.
type inbox struct {
	env   *env
	reply reply

	mu        sync.Mutex
	changed   chan struct{} // closed at the next change, nil when nobody waits
	clock     int
	calls     []call // in the order of their start
	succeeded int    // calls that returned nil
	done      map[string]bool
	running   int
	most      int // that ran at once
	fences    map[string]bool
}

func (e *env) inbox(r reply) *inbox {
	return &inbox{env: e, reply: r, done: make(map[string]bool), fences: make(map[string]bool)}
}

// subscribe subscribes in with a fast backoff, which opts may change.
func (e *env) subscribe(b broker.Broker, topic string, in *inbox, opts ...broker.SubscribeOption) broker.Subscriber {
	e.Helper()
	opts = append([]broker.SubscribeOption{broker.Backoff(time.Millisecond, 5*time.Millisecond)}, opts...)
	sub, err := b.Subscribe(e.within(e.Deadline), topic, in.handle, opts...)
	e.must("subscribe", err)
	return sub
}

// unsubscribe ends a subscription whose handlers are about to end.
func (e *env) unsubscribe(sub broker.Subscriber) {
	e.Helper()
	e.must("unsubscribe", sub.Unsubscribe(e.within(e.Deadline)))
}

func (in *inbox) handle(ctx context.Context, d *broker.Delivery) error {
	id := string(d.Message.Body)
	if strings.HasPrefix(id, fencePrefix) {
		in.mu.Lock()
		in.fences[id] = true
		in.change()
		in.mu.Unlock()
		return nil
	}
	c, i := in.begin(id, d)
	var err error
	defer func() { in.finish(i, err) }()
	err = errors.New("the handler did not return") // unless it does
	if in.reply == nil {
		err = nil
	} else {
		err = in.reply(ctx, c)
	}
	return err
}

func (in *inbox) begin(id string, d *broker.Delivery) (call, int) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.clock++
	c := call{
		id: id, key: d.Message.Key, attempt: d.Attempt, message: d.Message,
		began: time.Now(), start: in.clock,
	}
	in.calls = append(in.calls, c)
	in.running++
	in.most = max(in.most, in.running)
	in.change()
	return c, len(in.calls) - 1
}

func (in *inbox) finish(i int, err error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.clock++
	in.calls[i].end, in.calls[i].err = in.clock, err
	in.running--
	if err == nil {
		in.succeeded++
		in.done[in.calls[i].id] = true
	}
	in.change()
}

// change wakes those who await. The caller holds mu.
func (in *inbox) change() {
	if in.changed != nil {
		close(in.changed)
		in.changed = nil
	}
}

// await waits until met, which is called with mu held, returns true.
func (in *inbox) await(what string, met func() bool) {
	in.env.Helper()
	deadline := time.After(in.env.Deadline)
	for {
		in.mu.Lock()
		if met() {
			in.mu.Unlock()
			return
		}
		if in.changed == nil {
			in.changed = make(chan struct{})
		}
		changed := in.changed
		in.mu.Unlock()
		select {
		case <-changed:
		case <-deadline:
			in.env.Fatalf("waited %v for %s; calls so far: %s", in.env.Deadline, what, in.describe())
		}
	}
}

// awaitCalls waits until n calls have begun.
func (in *inbox) awaitCalls(n int) {
	in.env.Helper()
	in.await(fmt.Sprintf("%d calls of the handler", n), func() bool { return len(in.calls) >= n })
}

// awaitHandled waits until n calls have returned nil.
func (in *inbox) awaitHandled(n int) {
	in.env.Helper()
	in.await(fmt.Sprintf("%d handled messages", n), func() bool { return in.succeeded >= n })
}

// awaitEach waits until n different messages were handled. A log may deliver
// messages again when a member leaves.
func (in *inbox) awaitEach(n int) {
	in.env.Helper()
	in.await(fmt.Sprintf("%d different messages", n), func() bool { return len(in.done) >= n })
}

// wantHandled waits for exactly the messages with these ids, once each in any
// order, and no further call that succeeded. Duplicates that are still to come
// are found by a fence.
func (in *inbox) wantHandled(ids ...string) {
	in.env.Helper()
	in.awaitHandled(len(ids))
	got := in.handled()
	slices.Sort(got)
	want := slices.Sorted(slices.Values(ids))
	if !slices.Equal(got, want) {
		in.env.Fatalf("handled:\n got %s\nwant %s", abridge(got), abridge(want))
	}
}

// wantFirstAttempts waits until the messages were handled, each by one call, which
// was the first attempt.
func (in *inbox) wantFirstAttempts(ids ...string) {
	in.env.Helper()
	for _, id := range ids {
		in.await("message "+id, func() bool { return in.done[id] })
		if calls := in.of(id); len(calls) != 1 || calls[0].attempt != 1 {
			in.env.Errorf("message %q: got %d calls, the first as attempt %d, want one as attempt 1", id, len(calls), calls[0].attempt)
		}
	}
}

// wantOrder is wantHandled in the order of the starts.
func (in *inbox) wantOrder(ids ...string) {
	in.env.Helper()
	in.awaitHandled(len(ids))
	if got := in.handled(); !slices.Equal(got, ids) {
		in.env.Fatalf("handled in this order:\n got %s\nwant %s", abridge(got), abridge(ids))
	}
}

// wantAbsent fails when a message was given to the handler.
func (in *inbox) wantAbsent(why string, ids ...string) {
	in.env.Helper()
	for _, c := range in.snapshot() {
		if slices.Contains(ids, c.id) {
			in.env.Errorf("message %q was given to the handler (attempt %d): %s", c.id, c.attempt, why)
		}
	}
}

// handled returns the ids of the calls that returned nil, in order of start.
func (in *inbox) handled() []string {
	var ids []string
	for _, c := range in.snapshot() {
		if c.succeeded() {
			ids = append(ids, c.id)
		}
	}
	return ids
}

// snapshot returns the calls so far, in order of start.
func (in *inbox) snapshot() []call {
	in.mu.Lock()
	defer in.mu.Unlock()
	return slices.Clone(in.calls)
}

// of returns the calls of one message.
func (in *inbox) of(id string) []call {
	return slices.DeleteFunc(in.snapshot(), func(c call) bool { return c.id != id })
}

func (in *inbox) describe() string {
	var texts []string
	for _, c := range in.snapshot() {
		state := "running"
		if c.end > 0 {
			state = fmt.Sprint(c.err)
		}
		texts = append(texts, fmt.Sprintf("%.40s#%d: %s", c.id, c.attempt, state))
	}
	return abridge(texts)
}

// abridge joins texts, leaving out the middle of many.
func abridge(texts []string) string {
	const most = 30
	if len(texts) > most {
		left := len(texts) - most
		texts = slices.Concat(texts[:most/2], []string{fmt.Sprintf("... %d more ...", left)}, texts[len(texts)-most/2:])
	}
	return "[" + strings.Join(texts, ", ") + "]"
}
