package memorybroker

import (
	"sync"

	"github.com/micro-event/micro-event/runtime/broker"
)

// queue holds the messages that its members share, oldest first. New ones are in
// its inbox, which publishers fill and members empty at one go, so that the two
// sides seldom meet.
type queue struct {
	topic *topic
	named bool
	_     apart
	inbox inbox

	mu      sync.Mutex // taken before the mutex of the topic
	ready   entryList  // members may take them
	held    entryList  // members have taken them
	used    entryList  // settled, for the inbox to use again
	members int
	owners  owners
}

// maxKeptBody is the largest body whose buffer an entry keeps for the next
// message, so that a queue of the default capacity keeps 1 MiB at most.
const maxKeptBody = 1 << 10

// entry is a message in one queue. It is used again when it is settled, and with
// it the buffer of its body.
type entry struct {
	record     broker.Record
	body       []byte // buffer for the record's
	sequence   uint64
	failures   int
	deliveries int
	prev, next *entry
	member     *source    // that holds it
	owner      *ownership // of its key, while it is held by one of several members
}

// join adds a member. What a member takes while it is the only one needs no
// owner until another one comes.
func (q *queue) join() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.members++
	if q.members != 2 {
		return
	}
	for e := q.held.first; e != nil; e = e.next {
		if e.owner == nil {
			q.owners.add(e)
		}
	}
}

func (q *queue) leave() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.members--
}

// takeOrWait gives s what there is, or lets it join those who wait to be woken.
func (q *queue) takeOrWait(s *source, buf []broker.Raw) (int, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if s.stopped {
		q.call() // this member may have been woken for an entry
		return 0, errStopped
	}
	n := q.take(q.ready.first, s, buf)
	for n == 0 {
		fresh := q.refill(s)
		if fresh == nil {
			return 0, nil
		}
		n = q.take(fresh, s, buf)
	}
	if q.inbox.idlers.Load() > 0 {
		q.callForRest()
	}
	return n, nil
}

// refill moves what is in the inbox behind all others and returns the first of
// it. If there is nothing, s waits.
func (q *queue) refill(s *source) *entry {
	q.topic.mu.Lock()
	defer q.topic.mu.Unlock()
	fresh := q.inbox.fresh.first
	if fresh == nil {
		q.inbox.wait(s)
		return nil
	}
	q.inbox.fresh.moveTo(&q.ready)
	q.used.moveTo(&q.inbox.free)
	return fresh
}

// callForRest calls a member that waits if something is left.
func (q *queue) callForRest() {
	q.topic.mu.Lock()
	defer q.topic.mu.Unlock()
	if q.ready.first != nil || q.inbox.fresh.first != nil {
		q.inbox.call()
	}
}

// take gives s the oldest entries, from e on, that no other member's key holds
// back. Publishers do not know owners and may have woken s in place of one.
func (q *queue) take(e *entry, s *source, buf []broker.Raw) int {
	n := 0
	for e != nil && n < len(buf) {
		next := e.next
		if owner := q.owners.of(e); owner == nil || owner == s {
			buf[n] = q.deliver(e, s)
			n++
		} else if q.inbox.idlers.Load() > 0 {
			q.callMember(owner)
		}
		e = next
	}
	return n
}

func (q *queue) deliver(e *entry, s *source) broker.Raw {
	q.ready.remove(e)
	q.held.push(e)
	e.member = s
	if q.members > 1 {
		q.owners.add(e)
	}
	e.deliveries++
	return broker.Raw{Key: e.record.Key, Failures: e.failures, Deliveries: e.deliveries, Value: e}
}

// settle ends the hold of a member on e, and e.
func (q *queue) settle(e *entry) {
	q.mu.Lock()
	q.release(e)
	e.record, e.failures, e.deliveries = broker.Record{}, 0, 0
	q.used.push(e)
	q.mu.Unlock()
	q.inbox.settledNow.Add(1)
	if q.topic.crowded.Load() {
		q.topic.roomMade()
	}
}

// giveBack returns e to its place. It is older than all that is in the inbox.
func (q *queue) giveBack(e *entry, failures int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	e.failures = failures
	q.release(e)
	var prev *entry
	for at := q.ready.first; at != nil && at.sequence < e.sequence; at = at.next {
		prev = at
	}
	q.ready.insertAfter(prev, e)
	if owner := q.owners.of(e); owner != nil {
		q.callMember(owner)
	} else {
		q.call()
	}
}

// release lets other members have the key of e once its owner holds none of it.
func (q *queue) release(e *entry) {
	q.held.remove(e)
	e.member = nil
	if q.owners.release(e) && q.ready.first != nil {
		q.call()
	}
}

// call wakes a member, if one waits.
func (q *queue) call() {
	if q.inbox.idlers.Load() == 0 {
		return
	}
	q.topic.mu.Lock()
	defer q.topic.mu.Unlock()
	q.inbox.call()
}

// callMember wakes s, if it waits.
func (q *queue) callMember(s *source) {
	q.topic.mu.Lock()
	defer q.topic.mu.Unlock()
	q.inbox.wakeMember(s)
}
