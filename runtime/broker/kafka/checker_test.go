package kafkabroker_test

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

// deadline is how long tests wait for what must happen.
const deadline = 60 * time.Second

// checker publishes messages of several keys and notes what it was told of each,
// and what was handled.
type checker struct {
	mu       sync.Mutex
	taken    []string
	never    []string
	handled  map[string][]int // by key, what was handled for the first time, in that order
	seen     map[string]bool
	repeated int
	progress chan struct{} // has room for one; told of each first handling
	publish  int           // messages whose Publish has ended
	ended    chan struct{} // as progress, of Publish
}

func newChecker() *checker {
	return &checker{
		handled: make(map[string][]int), seen: make(map[string]bool),
		progress: make(chan struct{}, 1), ended: make(chan struct{}, 1),
	}
}

// handle is a handler.
func (c *checker) handle(_ context.Context, d *broker.Delivery) error {
	c.note(string(d.Message.Body))
	return nil
}

// note notes that a message, named key/number, was handled.
func (c *checker) note(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.seen[id] {
		c.repeated++
		return
	}
	c.seen[id] = true
	key, number, _ := strings.Cut(id, "/")
	n, err := strconv.Atoi(number)
	if err != nil {
		panic(err)
	}
	c.handled[key] = append(c.handled[key], n)
	tell(c.progress)
}

func tell(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// send publishes n messages, of one key after the other and of all keys at once.
func (c *checker) send(ctx context.Context, b broker.Broker, topic string, keys, n int) {
	var publishers sync.WaitGroup
	for k := range keys {
		publishers.Go(func() {
			for i := range n / keys {
				c.sendOne(ctx, b, topic, fmt.Sprint("key", k), i)
			}
		})
	}
	publishers.Wait()
}

func (c *checker) sendOne(ctx context.Context, b broker.Broker, topic, key string, i int) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	id := fmt.Sprint(key, "/", i)
	err := b.Publish(ctx, topic, &broker.Message{Key: key, Body: []byte(id)})
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err == nil:
		c.taken = append(c.taken, id)
	case errors.Is(err, broker.ErrNotDelivered):
		c.never = append(c.never, id)
	}
	c.publish++
	tell(c.ended)
}

// awaitPublished waits until n calls of Publish have ended.
func (c *checker) awaitPublished(t *testing.T, n int) {
	t.Helper()
	await(t, fmt.Sprintf("%d published messages", n), c.ended, func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.publish >= n
	})
}

// awaitTaken waits until all was handled that was taken.
func (c *checker) awaitTaken(t *testing.T) {
	t.Helper()
	await(t, "what was taken to be handled", c.progress, func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return !slices.ContainsFunc(c.taken, func(id string) bool { return !c.seen[id] })
	})
}

// awaitHandled waits until n messages were handled.
func (c *checker) awaitHandled(t *testing.T, n int) {
	t.Helper()
	await(t, fmt.Sprintf("%d handled messages", n), c.progress, func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.seen) >= n
	})
}

// await waits until met, which it asks whenever it is told of a change.
func await(t *testing.T, what string, changed <-chan struct{}, met func() bool) {
	t.Helper()
	timeout := time.After(deadline)
	for !met() {
		select {
		case <-changed:
		case <-timeout:
			t.Fatalf("waited %v for %s", deadline, what)
		}
	}
}

// check fails the test when something was handled that was certainly not taken,
// or when a key was handled out of order.
func (c *checker) check(t *testing.T) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, id := range c.never {
		if c.seen[id] {
			t.Errorf("%s was handled, although its Publish had certainly failed", id)
		}
	}
	for key, numbers := range c.handled {
		if !slices.IsSorted(numbers) {
			t.Errorf("%s was handled out of order: %v", key, numbers)
		}
	}
	t.Logf("%d taken, %d certainly not, %d handled, %d times again", len(c.taken), len(c.never), len(c.seen), c.repeated)
}

func connect(t testing.TB, url string, opts ...broker.Option) *broker.Engine {
	t.Helper()
	b := newBroker(url, opts...)
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	must(t, b.Connect(ctx))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), deadline)
		defer cancel()
		if err := b.Disconnect(ctx); err != nil {
			t.Errorf("disconnect: %v", err)
		}
	})
	return b
}

func subscribe(t testing.TB, b broker.Broker, topic string, h broker.Handler, opts ...broker.SubscribeOption) broker.Subscriber {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	sub, err := b.Subscribe(ctx, topic, h, opts...)
	must(t, err)
	return sub
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
