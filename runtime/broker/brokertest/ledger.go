package brokertest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/micro-event/micro-event/runtime/broker"
)

// Bounds of the tests that break things.
const (
	ledgerKeys     = 8                // keys that messages are spread over
	ledgerPatience = 90 * time.Second // for what must happen
	publishTimeout = 5 * time.Second  // of one Publish, so that many fail in different ways
)

// ledger compares what publishers were told with what handlers got.
type ledger struct {
	testing.TB

	mu        sync.Mutex
	changed   chan struct{} // closed and replaced at each change
	taken     []string      // messages, named key/number
	never     []string
	uncertain int
	seen      map[string]bool
	order     map[string][]int // by key, what was handled for the first time, in that order
	repeated  int
}

func newLedger(t testing.TB) *ledger {
	return &ledger{TB: t, changed: make(chan struct{}), seen: make(map[string]bool), order: make(map[string][]int)}
}

// handle is a handler.
func (l *ledger) handle(_ context.Context, d *broker.Delivery) error {
	return l.note(string(d.Message.Body))
}

// note notes that a message was handled.
func (l *ledger) note(id string) error {
	key, text, _ := strings.Cut(id, "/")
	number, err := strconv.Atoi(text)
	if err != nil {
		return broker.Permanent(fmt.Errorf("a message that nobody published: %w", err))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.seen[id] {
		l.repeated++
		return nil
	}
	l.seen[id] = true
	l.order[key] = append(l.order[key], number)
	l.changedLocked()
	return nil
}

func (l *ledger) changedLocked() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// publish publishes about n messages, those of a key one after the other, all keys
// at once, and then one of each key that must be taken.
func (l *ledger) publish(b broker.Broker, topic string, n int) {
	var publishers sync.WaitGroup
	for k := range ledgerKeys {
		publishers.Go(func() {
			key := fmt.Sprint("key", k)
			number := 0
			end := time.Now().Add(ledgerPatience)
			for sent := 0; sent < n/ledgerKeys && time.Now().Before(end); number++ {
				if err := l.publishOne(b, topic, key, number); !isNotDelivered(err) {
					sent++ // otherwise another one takes its place
				}
			}
			l.publishLast(b, topic, key, number)
		})
	}
	publishers.Wait()
}

// publishLast publishes the message behind which no earlier one of its key can
// come any more.
func (l *ledger) publishLast(b broker.Broker, topic, key string, number int) {
	for end := time.Now().Add(ledgerPatience); ; number++ {
		err := l.publishOne(b, topic, key, number)
		if err == nil {
			return
		}
		if l.Context().Err() != nil || time.Now().After(end) {
			l.Errorf("the last message of %s is not taken: %v", key, err)
			return
		}
	}
}

func (l *ledger) publishOne(b broker.Broker, topic, key string, number int) error {
	ctx, cancel := context.WithTimeout(l.Context(), publishTimeout)
	defer cancel()
	id := fmt.Sprint(key, "/", number)
	err := b.Publish(ctx, topic, &broker.Message{Key: key, Body: []byte(id)})
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err == nil:
		l.taken = append(l.taken, id)
	case errors.Is(err, broker.ErrUncertain):
		l.uncertain++
	default:
		l.never = append(l.never, id)
	}
	l.changedLocked()
	return err
}

// awaitPublished waits until n messages have been sent.
func (l *ledger) awaitPublished(n int) {
	l.Helper()
	l.await(fmt.Sprintf("%d published messages", n), func() bool { return len(l.taken)+l.uncertain >= n })
}

// awaitHandled waits until n messages were handled.
func (l *ledger) awaitHandled(n int) {
	l.Helper()
	l.await(fmt.Sprintf("%d handled messages", n), func() bool { return len(l.seen) >= n })
}

// awaitTaken waits until all was handled that was taken.
func (l *ledger) awaitTaken() {
	l.Helper()
	l.await("what was taken to be handled", func() bool { return l.missing() == nil })
}

// missing returns what was taken and not handled. The caller holds mu.
func (l *ledger) missing() []string {
	var missing []string
	for _, id := range l.taken {
		if !l.seen[id] {
			missing = append(missing, id)
		}
	}
	return missing
}

// await waits until met, which it asks, holding mu, at each change.
func (l *ledger) await(what string, met func() bool) {
	l.Helper()
	timeout := time.After(ledgerPatience)
	for {
		l.mu.Lock()
		done, changed := met(), l.changed
		l.mu.Unlock()
		if done {
			return
		}
		select {
		case <-changed:
		case <-timeout:
			l.Fatalf("waited %v for %s; %s", ledgerPatience, what, l.state())
		}
	}
}

// state says where things stand.
func (l *ledger) state() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return fmt.Sprintf("%d messages are taken, %d perhaps, %d handled; not handled: %.200q",
		len(l.taken), l.uncertain, len(l.seen), l.missing())
}

// check fails the test when something was handled whose Publish had certainly
// failed and, if ordered, when a key was handled out of order.
func (l *ledger) check(ordered bool) {
	l.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range l.never {
		if l.seen[id] {
			l.Errorf("%s was handled, although its Publish had certainly failed", id)
		}
	}
	for key, numbers := range l.order {
		if ordered && !slices.IsSorted(numbers) {
			l.Errorf("%s was handled out of order: %v", key, numbers)
		}
	}
	l.Logf("taken %d, uncertain %d, certainly not %d; handled %d, %d of them again",
		len(l.taken), l.uncertain, len(l.never), len(l.seen), l.repeated)
}
