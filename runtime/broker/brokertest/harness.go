package brokertest

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/micro-event/micro-event/runtime/broker"
)

// NewBroker makes a broker that is not connected yet. The options must be
// applied to it. Brokers of several calls are separate connections to the same
// storage: what one declares or publishes, the others see. It may be called
// concurrently, and may use t to fail or skip.
type NewBroker func(t testing.TB, opts ...broker.Option) broker.Broker

// Run runs every test of the contract as a subtest of t. It must not run in
// parallel with tests that start goroutines of the brokers under test.
func Run(t *testing.T, newBroker NewBroker, f Features) {
	t.Helper()
	s := newSuite(t, newBroker, f)
	for _, c := range contract() {
		t.Run(c.name, func(t *testing.T) { s.run(t, c) })
	}
}

// test is one test of the contract.
type test struct {
	name  string // begins with the line of the contract
	run   func(*env)
	needs []need
}

// contract returns all tests in the order of the contract.
func contract() []test {
	var all []test
	for _, part := range [][]test{
		publishTests(), roomTests(), subscribeTests(), queueTests(), orderTests(),
		handlerTests(), retryTests(), poisonTests(), unsubscribeTests(), disconnectTests(),
		headerTests(), loadTests(),
	} {
		all = append(all, part...)
	}
	return all
}

// suite is what all tests of one Run share.
type suite struct {
	Features
	newBroker NewBroker
	info      broker.Info
	runID     string       // makes the names of this Run unique
	tests     atomic.Int64 // begun
	noLeaks   bool         // leaks are not looked for
}

func newSuite(t testing.TB, newBroker NewBroker, f Features) *suite {
	t.Helper()
	s := &suite{newBroker: newBroker, runID: newRunID()}
	s.info = s.findInfo(t, f)
	s.Features = f.withDefaults(s.info)
	if unknown := f.unknownSkips(contract()); unknown != nil {
		t.Fatalf("Features.Skip names tests that do not exist: %q", unknown)
	}
	return s
}

func newRunID() string { return strings.ToLower(rand.Text()[:8]) }

// findInfo asks a connected broker: some learn their limits from the server.
func (s *suite) findInfo(t testing.TB, f Features) broker.Info {
	t.Helper()
	if f.Info != nil {
		return *f.Info
	}
	b := s.newBroker(t, broker.WithLogger(slog.New(slog.DiscardHandler)))
	informer, ok := b.(interface{ Info() broker.Info })
	if !ok {
		t.Fatalf("%T has no method Info: Features.Info must be set", b)
	}
	ctx, cancel := context.WithTimeout(context.Background(), f.withDefaults(broker.Info{}).Deadline)
	defer cancel()
	if err := b.Connect(ctx); err != nil {
		t.Fatalf("connect: %v", err)
	}
	info := informer.Info()
	if err := b.Disconnect(ctx); err != nil {
		t.Fatalf("disconnect: %v", err)
	}
	return info
}

// run runs one test, or skips it.
func (s *suite) run(t testing.TB, c test) {
	t.Helper()
	if reason := s.skips(c.name); reason != "" {
		t.Skip("Features.Skip: " + reason)
	}
	for _, n := range c.needs {
		if missing := n(s); missing != "" {
			t.Skip("needs " + missing)
		}
	}
	c.run(s.newEnv(t))
}

// env is what a test works with. Its methods fail the test when something goes
// wrong, and may be called by the goroutine of the test only.
type env struct {
	testing.TB
	*suite
	number     int64
	logs       *logBuffer
	fences     atomic.Int64
	background sync.WaitGroup             // publishers that a test does not wait for
	lanes      map[string]<-chan struct{} // closed when the last message of a key was published
}

func (s *suite) newEnv(t testing.TB) *env {
	e := &env{TB: t, suite: s, number: s.tests.Add(1), logs: new(logBuffer), lanes: make(map[string]<-chan struct{})}
	if !s.noLeaks {
		before := goroutines()
		t.Cleanup(func() { e.checkLeaks(before) }) // runs last
	}
	t.Cleanup(func() { e.bounded("background publishers", e.background.Wait) })
	t.Cleanup(func() { e.logs.flush(t) })
	return e
}

// open makes a broker that is disconnected when the test ends.
func (e *env) open(opts ...broker.Option) broker.Broker {
	e.Helper()
	b := e.newBroker(e.TB, append([]broker.Option{broker.WithLogger(e.logs.logger())}, opts...)...)
	e.Cleanup(func() {
		e.bounded("Disconnect", func() {
			ctx, cancel := context.WithTimeout(context.Background(), e.Deadline)
			defer cancel()
			if err := b.Disconnect(ctx); err != nil {
				e.Errorf("disconnect at the end of the test: %v", err)
			}
		})
	})
	return b
}

// connect makes a connected broker.
func (e *env) connect(opts ...broker.Option) broker.Broker {
	e.Helper()
	b := e.open(opts...)
	e.must("connect", b.Connect(e.within(e.Deadline)))
	return b
}

// bounded runs a cleanup that a broken broker may never return from.
func (e *env) bounded(what string, f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-time.After(2 * e.Deadline):
		e.Errorf("%s has not returned after %v", what, 2*e.Deadline)
	}
}

// within returns a context of at most d that ends with the test.
func (e *env) within(d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(e.Context(), d)
	e.Cleanup(cancel)
	return ctx
}

// topic returns a topic that only this test uses.
func (e *env) topic(name string) string {
	return fmt.Sprintf("%s.%s.%d.%s", TopicPrefix, e.runID, e.number, name)
}

// queue returns a queue name that only this test uses.
func (e *env) queue(name string) string {
	return fmt.Sprintf("%s-%d-%s", e.runID, e.number, name)
}

func (e *env) must(what string, err error) {
	e.Helper()
	if err != nil {
		e.Fatalf("%s: %v", what, err)
	}
}

// await returns the first value of c, or fails when none comes.
func await[T any](e *env, what string, c <-chan T) T {
	e.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(e.Deadline):
		e.Fatalf("waited %v for %s", e.Deadline, what)
		panic("unreachable")
	}
}

// start runs f in a goroutine and returns where its result will be.
func start[T any](f func() T) <-chan T {
	c := make(chan T, 1)
	go func() { c <- f() }()
	return c
}

// declare declares a queue, or skips the test.
func (e *env) declare(b broker.Broker, topic, queue string) {
	e.Helper()
	d := ability[interface {
		DeclareQueue(ctx context.Context, topic, queue string) error
	}](e, b, "DeclareQueue")
	e.must("declare queue", d.DeclareQueue(e.within(e.Deadline), topic, queue))
}

// ability returns b as something that has a further method, or skips the test.
func ability[T any](e *env, b broker.Broker, method string) T {
	e.Helper()
	v, ok := b.(T)
	if !ok {
		e.Skipf("%T has no method %s", b, method)
	}
	return v
}
