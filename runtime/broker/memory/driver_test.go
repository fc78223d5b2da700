package memorybroker_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/micro-event/micro-event/runtime/broker"
	memorybroker "github.com/micro-event/micro-event/runtime/broker/memory"
)

// open opens a member of a queue on the topic "t".
func open(t *testing.T, d *memorybroker.Driver, queue string) broker.Source {
	t.Helper()
	s, err := d.Open(t.Context(), broker.SourceSpec{Topic: "t", Queue: queue, MaxInFlight: 1, Window: 64})
	must(t, err)
	return s
}

// publish publishes messages whose bodies are ids, to the topic "t".
func publish(t *testing.T, d *memorybroker.Driver, key string, ids ...string) {
	t.Helper()
	for _, id := range ids {
		must(t, d.Publish(t.Context(), "t", &broker.Record{Key: key, Body: []byte(id)}, broker.PublishOptions{}))
	}
}

// receive receives up to n deliveries.
func receive(t *testing.T, s broker.Source, n int) []broker.Raw {
	t.Helper()
	buf := make([]broker.Raw, n)
	got, err := s.Receive(t.Context(), buf)
	must(t, err)
	return buf[:got]
}

// ids returns the bodies of deliveries.
func ids(t *testing.T, s broker.Source, raws []broker.Raw) []string {
	t.Helper()
	var all []string
	for i := range raws {
		m, err := s.Load(&raws[i])
		must(t, err)
		all = append(all, string(m.Body))
	}
	return all
}

func settle(t *testing.T, s broker.Source, o broker.Outcome, raws ...broker.Raw) {
	t.Helper()
	for i := range raws {
		must(t, s.Settle(t.Context(), &raws[i], o, nil))
	}
}

func want(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestGivenBackReturnsToItsPlace(t *testing.T) {
	d := memorybroker.NewDriver()
	s := open(t, d, "q")
	publish(t, d, "", "a", "b", "c", "d", "e", "f")
	held := receive(t, s, 4)
	settle(t, s, broker.GiveBack, held[2], held[0], held[3])
	settle(t, s, broker.Ack, held[1])
	want(t, "after giving back", ids(t, s, receive(t, s, 10)), "a", "c", "d", "e", "f")
}

func TestFailuresAndDeliveriesFollowTheMessage(t *testing.T) {
	d := memorybroker.NewDriver()
	first, second := open(t, d, "q"), open(t, d, "q")
	publish(t, d, "k", "m")
	r := receive(t, first, 1)[0]
	if r.Failures != 0 || r.Deliveries != 1 {
		t.Errorf("first delivery: got %d failures, %d deliveries, want 0 and 1", r.Failures, r.Deliveries)
	}
	r.Failures = 3
	settle(t, first, broker.GiveBack, r)
	r = receive(t, second, 1)[0]
	if r.Failures != 3 || r.Deliveries != 2 {
		t.Errorf("second delivery: got %d failures, %d deliveries, want 3 and 2", r.Failures, r.Deliveries)
	}
}

func TestAKeyHasOneMember(t *testing.T) {
	d := memorybroker.NewDriver()
	first, second := open(t, d, "q"), open(t, d, "q")
	publish(t, d, "a", "a1", "a2", "a3")
	publish(t, d, "b", "b1")
	publish(t, d, "", "none")
	held := receive(t, first, 1)
	want(t, "the other member", ids(t, second, receive(t, second, 10)), "b1", "none")
	held = append(held, receive(t, first, 1)...)
	want(t, "the member that has the key", ids(t, first, held), "a1", "a2")
	settle(t, first, broker.Ack, held[0])
	publish(t, d, "c", "c1") // the other member would block otherwise
	want(t, "the other member", ids(t, second, receive(t, second, 10)), "c1")
	settle(t, first, broker.Ack, held[1])
	want(t, "the other member, once the key is free", ids(t, second, receive(t, second, 10)), "a3")
}

// TestAKeyMovesWhenItsMemberLeaves keeps a member waiting for a key whose holder
// stops and gives it back.
func TestAKeyMovesWhenItsMemberLeaves(t *testing.T) {
	d := memorybroker.NewDriver()
	first, second := open(t, d, "q"), open(t, d, "q")
	publish(t, d, "k", "1", "2", "3")
	held := receive(t, first, 2)
	got := make(chan []string)
	go func() { got <- ids(t, second, receive(t, second, 10)) }()
	must(t, first.Stop(t.Context()))
	settle(t, first, broker.GiveBack, held[1])
	settle(t, first, broker.GiveBack, held[0])
	must(t, first.Close(t.Context()))
	want(t, "the member that stayed", <-got, "1", "2", "3")
}

func TestReceiveEndsWithStop(t *testing.T) {
	d := memorybroker.NewDriver()
	s := open(t, d, "q")
	ended := make(chan error)
	go func() {
		_, err := s.Receive(t.Context(), make([]broker.Raw, 1))
		ended <- err
	}()
	must(t, s.Stop(t.Context()))
	must(t, s.Stop(t.Context()))
	if err := <-ended; err == nil {
		t.Error("receive after Stop: got nil, want an error")
	}
}

func TestWrongOptions(t *testing.T) {
	for name, opt := range map[string]broker.Option{
		"capacity 0": memorybroker.Capacity(0),
		"foreign":    broker.DriverOption("foreign"),
	} {
		if err := memorybroker.New(opt).Connect(t.Context()); err == nil {
			t.Errorf("connect with option %s: got nil, want an error", name)
		}
	}
}

// TestWakeUpsAreNotLost lets members give up waiting all the time, while
// messages arrive that they may have been woken for.
func TestWakeUpsAreNotLost(t *testing.T) {
	d := memorybroker.NewDriver()
	const members, n = 4, 5000
	must(t, d.Declare(t.Context(), "t", "q"))
	var left atomic.Int64
	left.Store(n)
	done, cancel := context.WithCancel(t.Context())
	defer cancel()
	var wg sync.WaitGroup
	for m := range members {
		s := open(t, d, "q")
		wg.Go(func() {
			buf := make([]broker.Raw, 1+m)
			for done.Err() == nil {
				impatient, stop := context.WithCancel(done)
				go stop() // at any moment
				got, err := s.Receive(impatient, buf)
				if err != nil && done.Err() == nil && !errors.Is(err, context.Canceled) {
					t.Errorf("receive: %v", err)
				}
				for i := range buf[:got] {
					if err := s.Settle(done, &buf[i], broker.Ack, nil); err != nil {
						t.Errorf("settle: %v", err)
					}
				}
				if left.Add(int64(-got)) == 0 {
					cancel()
				}
			}
		})
	}
	for i := range n {
		publish(t, d, fmt.Sprint(i%7), "m")
	}
	wg.Wait()
	if got := left.Load(); got != 0 {
		t.Errorf("%d messages were not received", got)
	}
}

// TestOnlyWaitingMembersAreEnough is TestWakeUpsAreNotLost without impatience:
// nobody calls Receive again unless it was woken.
func TestOnlyWaitingMembersAreEnough(t *testing.T) {
	d := memorybroker.NewDriver()
	const members, n = 4, 5000
	must(t, d.Declare(t.Context(), "t", "q"))
	received := make(chan int, n)
	var sources []broker.Source
	var wg sync.WaitGroup
	for range members {
		s := open(t, d, "q")
		sources = append(sources, s)
		wg.Go(func() {
			buf := make([]broker.Raw, 2)
			for {
				got, err := s.Receive(t.Context(), buf)
				if err != nil {
					return
				}
				for i := range buf[:got] {
					o := broker.Ack
					if buf[i].Deliveries == 1 && i == 1 {
						o = broker.GiveBack
					}
					if err := s.Settle(t.Context(), &buf[i], o, nil); err != nil {
						t.Errorf("settle: %v", err)
					}
					if o == broker.Ack {
						received <- 1
					}
				}
			}
		})
	}
	for p := range 4 {
		go func() {
			for range n / 4 {
				publish(t, d, fmt.Sprint("key", p), "m")
			}
		}()
	}
	for range n {
		<-received
	}
	for _, s := range sources {
		must(t, s.Stop(t.Context()))
	}
	wg.Wait()
}
