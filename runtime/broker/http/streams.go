package httpbroker

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// streams knows the connections that changed, of which [net/http.Server] knows
// nothing any more, from one Connect to the next.
type streams struct {
	mu     sync.Mutex
	count  int // those that are about to change included
	open   map[*stream]struct{}
	ending atomic.Bool
	ended  chan struct{} // closed when there are none; nil unless somebody waits

	patrols atomic.Int32 // one of the constants below
	timer   *time.Timer  // of the next patrol
}

// What there is of patrols.
const (
	noPatrol    = iota
	lastPatrol  // there will be one, and no more unless a goroutine is lent
	morePatrols // a goroutine was lent since the last one
)

func newStreams() *streams {
	s := &streams{open: make(map[*stream]struct{})}
	s.timer = time.AfterFunc(patience, s.visit)
	s.timer.Stop()
	return s
}

// reserve counts a connection that is about to change, unless all are to end.
func (s *streams) reserve() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ending.Load() {
		return false
	}
	s.count++
	return true
}

// cancel is for one that did not change.
func (s *streams) cancel() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leave()
}

func (s *streams) leave() {
	if s.count--; s.count == 0 && s.ended != nil {
		close(s.ended)
		s.ended = nil
	}
}

func (s *streams) add(st *stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open[st] = struct{}{}
}

func (s *streams) remove(st *stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, st)
	s.leave()
}

// patrol makes sure that somebody looks, a patience from now and again, for
// goroutines that are lent. It is one timer for all of them, which is seldom set: setting
// one wakes a processor.
func (s *streams) patrol() {
	if s.patrols.Load() != morePatrols && s.patrols.Swap(morePatrols) == noPatrol {
		s.timer.Reset(patience)
	}
}

// visit lets others write the answers of goroutines that are lent since before the last
// time.
func (s *streams) visit() {
	s.mu.Lock()
	defer s.mu.Unlock()
	lent := false
	for st := range s.open {
		a := st.lent.Load()
		if a != nil && a == st.seen && st.lent.CompareAndSwap(a, nil) {
			go st.writeFor(a)
			a = nil
		}
		st.seen = a
		lent = lent || a != nil
	}
	if !lent && (s.patrols.CompareAndSwap(lastPatrol, noPatrol) || s.patrols.Load() == noPatrol) {
		return
	}
	s.patrols.CompareAndSwap(morePatrols, lastPatrol)
	s.timer.Reset(patience)
}

// end closes the connections: those that have a request when it is answered, or
// when ctx ends. It does not wait for handlers that ignore their cancellation, to which
// goroutines may be lent.
func (s *streams) end(ctx context.Context) error {
	select {
	case <-s.endIdle():
		return nil
	case <-ctx.Done():
		s.closeAll()
		return context.Cause(ctx)
	}
}

// endIdle lets those go that have no request; the others will see that they are to
// end. It returns a channel that is closed when there are none.
func (s *streams) endIdle() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ending.Store(true)
	ended := make(chan struct{})
	if s.count == 0 {
		close(ended)
		return ended
	}
	s.ended = ended
	for st := range s.open {
		if !st.busy.Load() {
			st.SetReadDeadline(time.Unix(1, 0)) //nolint:errcheck // one that fails has ended
		}
	}
	return ended
}

func (s *streams) closeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for st := range s.open {
		st.Close() //nolint:errcheck // those who use it get an error of their own
	}
}
