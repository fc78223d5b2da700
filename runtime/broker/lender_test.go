package broker

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// lendingDriver has a source that lends goroutines.
type lendingDriver struct {
	*fakeDriver
	lending *lendingSource
}

func (d *lendingDriver) Open(context.Context, SourceSpec) (Source, error) { return d.lending, nil }

type lendingSource struct {
	*fakeSource
	work     func(done func() bool)
	receives atomic.Int32
	atEmpty  func() // called, once, by a Receive that brings nothing
}

func (s *lendingSource) LendTo(work func(done func() bool)) { s.work = work }

func (s *lendingSource) Receive(_ context.Context, buf []Raw) (int, error) {
	s.receives.Add(1)
	select {
	case buf[0] = <-s.incoming:
		return 1, nil
	case <-s.stopped:
		return 0, errors.New("stopped")
	default:
	}
	if f := s.atEmpty; f != nil {
		s.atEmpty = nil
		f()
	}
	return 0, nil
}

func never() bool { return false }

// lending subscribes with a handler that notes the names of what it is given.
func lending(t *testing.T, h func(name string) error, opts ...SubscribeOption) (*lendingSource, Subscriber, func() []string) {
	t.Helper()
	d := &lendingDriver{fakeDriver: newFake(Capabilities{})}
	d.lending = &lendingSource{fakeSource: d.source}
	var mu sync.Mutex
	var names []string
	sub, err := connected(t, d).Subscribe(t.Context(), "t", func(_ context.Context, m *Delivery) error {
		mu.Lock()
		names = append(names, string(m.Message.Body))
		mu.Unlock()
		return h(string(m.Message.Body))
	}, append(opts, Queue("q"))...)
	must(t, err)
	synctest.Wait() // the first Receive has brought nothing
	return d.lending, sub, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(names)
	}
}

func succeed(string) error { return nil }

func TestLentGoroutineRunsHandlers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _, names := lending(t, succeed)
		s.feedNames(0, "a", "b", "c")
		s.work(never) // returns when there is nothing to do
		if got, want := names(), []string{"a", "b", "c"}; !slices.Equal(got, want) {
			t.Errorf("handled %q before work returned, want %q", got, want)
		}
	})
}

func TestLentGoroutineIsGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _, names := lending(t, succeed)
		s.feedNames(0, "a", "b", "c")
		s.work(func() bool { return len(names()) == 1 })
		if got := names(); got[0] != "a" {
			t.Errorf("handled %q, want a", got)
		}
		synctest.Wait() // the engine's own workers go on
		if got, want := names(), []string{"a", "b", "c"}; !slices.Equal(got, want) {
			t.Errorf("handled %q in the end, want %q", got, want)
		}
		s.feedNames(0, "d")
		s.work(func() bool { return true })
		synctest.Wait()
		if got := names(); len(got) != 4 {
			t.Errorf("handled %q, want d by a worker", got)
		}
	})
}

// TestArrivalDuringAnEmptyReceiveIsSeen has something arrive after Receive has found
// nothing and before it returns.
func TestArrivalDuringAnEmptyReceiveIsSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _, names := lending(t, succeed)
		s.atEmpty = func() {
			s.feedNames(0, "late")
			s.work(never)
		}
		s.work(never)
		synctest.Wait()
		if got := names(); len(got) != 1 {
			t.Errorf("handled %q, want late", got)
		}
		before := s.receives.Load()
		time.Sleep(time.Hour)
		if n := s.receives.Load() - before; n > 0 {
			t.Errorf("received %d times from a source that told of nothing", n)
		}
	})
}

func TestLentGoroutineMeetsOtherLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		s, _, names := lending(t, func(string) error { <-release; return nil }, MaxInFlight(2))
		for _, name := range []string{"a", "b", "c", "d"} {
			s.feedNames(0, name)
			go s.work(never)
		}
		synctest.Wait()
		if got := names(); len(got) != 2 {
			t.Errorf("%q run at once, want two", got)
		}
		close(release)
		synctest.Wait()
		if got := names(); len(got) != 4 {
			t.Errorf("handled %q, want all four", got)
		}
	})
}

func TestHandlerThatEndsALentGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var attempts atomic.Int32
		s, sub, _ := lending(t, func(string) error {
			if attempts.Add(1) < 3 {
				runtime.Goexit()
			}
			return nil
		})
		s.feedNames(0, "a", "b")
		go s.work(never)
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := s.outcomes(); len(got) != 2 {
			t.Errorf("settled %q, want a and b", got)
		}
		must(t, sub.Unsubscribe(t.Context()))
	})
}

func TestNothingIsLentToAnEndedSubscription(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		s, sub, names := lending(t, func(string) error { <-release; return nil })
		s.feedNames(0, "a", "b")
		lent := make(chan struct{})
		go func() {
			s.work(never)
			close(lent)
		}()
		synctest.Wait() // a runs
		ended := make(chan error, 1)
		go func() { ended <- sub.Unsubscribe(t.Context()) }()
		synctest.Wait()
		close(release)
		must(t, <-ended)
		<-lent
		s.work(never)
		if got := names(); len(got) != 1 {
			t.Errorf("handled %q, want a alone", got)
		}
	})
}
