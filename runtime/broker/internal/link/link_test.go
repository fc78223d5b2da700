package link

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/micro-event/micro-event/runtime/broker"
)

// session is one that a test ends.
type session struct {
	number int
	gone   chan struct{}
	err    error
}

func (s *session) Gone() <-chan struct{} { return s.gone }
func (s *session) Err() error            { return s.err }

func (s *session) lose(err error) {
	s.err = err
	close(s.gone)
}

// server makes sessions, or fails.
type server struct {
	mu      sync.Mutex
	fault   error
	dialled []time.Time
	watched []error
}

func (v *server) dial(context.Context) (*session, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.dialled = append(v.dialled, time.Now())
	if v.fault != nil {
		return nil, v.fault
	}
	return &session{number: len(v.dialled), gone: make(chan struct{})}, nil
}

func (v *server) watch(lost error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.watched = append(v.watched, lost)
}

func (v *server) fail(err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.fault = err
}

var errTest = errors.New("the test wants this")

func begin(t *testing.T, v *server) (*Link[*session], *session) {
	t.Helper()
	l := New(v.dial, v.watch)
	if err := l.Begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	s, err := l.Current()
	if err != nil {
		t.Fatal(err)
	}
	return l, s
}

func TestASessionFollows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &server{}
		l, first := begin(t, v)
		first.lose(errTest)
		next, err := l.Await(t.Context())
		if err != nil || next == first {
			t.Fatalf("got session %d and %v, want another one", next.number, err)
		}
		synctest.Wait()
		if len(v.watched) != 2 || !errors.Is(v.watched[0], errTest) || v.watched[1] != nil {
			t.Errorf("watched: got %v, want the loss and nil", v.watched)
		}
		if last := l.End(); last != next {
			t.Errorf("the last session: got %d, want %d", last.number, next.number)
		}
		if _, err := l.Await(t.Context()); !errors.Is(err, broker.ErrClosed) {
			t.Errorf("await after the end: got %v, want ErrClosed", err)
		}
	})
}

func TestNoSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &server{fault: errTest}
		if err := New(v.dial, v.watch).Begin(t.Context()); !errors.Is(err, errTest) {
			t.Errorf("begin: got %v, want what dial returned", err)
		}
		v.fault = nil
		l, first := begin(t, v)
		v.fail(errTest)
		first.lose(errors.New("lost"))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := l.Await(ctx)
		for _, want := range []error{broker.ErrNotDelivered, broker.ErrNotConnected, errTest, context.DeadlineExceeded} {
			if !errors.Is(err, want) {
				t.Errorf("await: got %v, want %v", err, want)
			}
		}
		waiting := make(chan error, 1)
		go func() {
			_, err := l.Await(t.Context())
			waiting <- err
		}()
		synctest.Wait()
		if last := l.End(); last != first {
			t.Errorf("the last session: got %d, want %d", last.number, first.number)
		}
		if err := <-waiting; !errors.Is(err, broker.ErrClosed) {
			t.Errorf("await until the end: got %v, want ErrClosed", err)
		}
	})
}

// TestPauses loses sessions at once, ten times, and then one that has lived.
func TestPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &server{}
		l, s := begin(t, v)
		for range 10 {
			s.lose(errTest)
			var err error
			if s, err = l.Await(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		last := v.dialled[10].Sub(v.dialled[9])
		if last < LongestPause/2 || last > LongestPause*3/2 {
			t.Errorf("pause after ten losses: got %v, want about %v", last, LongestPause)
		}
		time.Sleep(2 * LongestPause)
		lost := time.Now()
		s.lose(errTest)
		if _, err := l.Await(t.Context()); err != nil {
			t.Fatal(err)
		}
		if pause := v.dialled[11].Sub(lost); pause > ShortestPause*3/2 {
			t.Errorf("pause after a session that lived: got %v, want about %v", pause, ShortestPause)
		}
		l.End()
	})
}
