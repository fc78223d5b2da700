package kafkabroker

import (
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// assignment is one partition for as long as a source has it. When the source
// gets the partition again that is another assignment, so that nothing is mixed
// up.
type assignment struct {
	id    int32 // Raw.Partition
	given int64 // deliveries to the engine; used by Receive only

	mu       sync.Mutex
	leaving  bool // no attempt may begin
	ended    bool // nothing can be settled
	running  int  // attempts
	settled  int64
	finished chan struct{} // closed when leaving and no attempt runs
}

// delivery is what a Raw carries.
type delivery struct {
	record     *kgo.Record
	assignment *assignment
	place      int64 // among the deliveries of the assignment
}

func newAssignment(id int32) *assignment {
	return &assignment{id: id, finished: make(chan struct{})}
}

// begin reports whether an attempt may begin, which must end then.
func (a *assignment) begin() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.leaving {
		return false
	}
	a.running++
	return true
}

func (a *assignment) end() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.running--; a.running == 0 && a.leaving {
		close(a.finished)
	}
}

func (a *assignment) isLeaving() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.leaving
}

// leave lets no further attempt begin.
func (a *assignment) leave() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.leaving {
		return
	}
	a.leaving = true
	if a.running == 0 {
		close(a.finished)
	}
}

// await waits for the attempts that run.
func (a *assignment) await(timeout <-chan time.Time) {
	select {
	case <-a.finished:
	case <-timeout:
	}
}

// over lets nothing be settled any more.
func (a *assignment) over() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ended = true
}

// settle calls mark if d is the next one to be settled, and reports whether it
// was. The engine passes over deliveries that were not allowed to begin; what
// comes behind those must not be settled.
func (a *assignment) settle(d *delivery, mark func(*kgo.Record)) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ended || d.place != a.settled {
		return false
	}
	a.settled++
	mark(d.record)
	return true
}
