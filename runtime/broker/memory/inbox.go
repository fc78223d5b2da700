package memorybroker

import (
	"slices"
	"sync/atomic"

	"github.com/micro-event/micro-event/runtime/broker"
)

// inbox is where publishers put entries and where members wait for them. The
// mutex of the topic guards it, but for what is atomic.
type inbox struct {
	fresh    entryList
	free     entryList // to use again
	sequence uint64    // of the newest entry, which is how many there were
	settled  uint64    // how many of them were settled when last seen
	idle     []*source // members that wait, the longest first

	_          apart
	settledNow atomic.Uint64
	idlers     atomic.Int64 // len(idle); it grows only under the mutex of the queue, too
}

// apart keeps what publishers write and what members write on cache lines of
// their own, so that the two sides do not wait for each other.
type apart [64]byte

// hasRoom reports whether fewer than capacity entries are not settled, those
// that members hold included.
func (b *inbox) hasRoom(capacity int) bool {
	if b.sequence-b.settled < uint64(capacity) {
		return true
	}
	b.settled = b.settledNow.Load()
	return b.sequence-b.settled < uint64(capacity)
}

func (b *inbox) append(r *broker.Record) {
	b.sequence++
	e := b.free.pop()
	if e == nil {
		e = new(entry)
	}
	e.sequence = b.sequence
	e.record = *r
	if n := len(r.Body); 0 < n && n <= maxKeptBody {
		e.body = append(e.body[:0], r.Body...)
		e.record.Body = e.body
	}
	b.fresh.push(e)
	b.call()
}

// call wakes the member that has waited longest. It calls the next one itself
// if it leaves something.
func (b *inbox) call() {
	if len(b.idle) > 0 {
		b.wake(0)
	}
}

func (b *inbox) wake(i int) {
	s := b.idle[i]
	b.idle = slices.Delete(b.idle, i, i+1)
	b.idlers.Store(int64(len(b.idle)))
	s.signal()
}

// wakeMember wakes s and reports whether it waited.
func (b *inbox) wakeMember(s *source) bool {
	i := slices.Index(b.idle, s)
	if i >= 0 {
		b.wake(i)
	}
	return i >= 0
}

// wait adds s to those that wait, if it is not among them.
func (b *inbox) wait(s *source) {
	if !slices.Contains(b.idle, s) {
		b.idle = append(b.idle, s)
		b.idlers.Store(int64(len(b.idle)))
	}
}
