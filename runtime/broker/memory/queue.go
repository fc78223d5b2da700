package memorybroker

import (
	"slices"

	"github.com/micro-event/micro-event/runtime/broker"
)

// queue holds the messages that its members share, oldest first. The mutex of
// its topic guards it.
type queue struct {
	topic *topic
	named bool

	first, last *entry
	sequence    uint64               // of the newest entry
	depth       int                  // entries that are not settled, those that members hold included
	owned       map[string]ownership // keys that a member holds entries of
	idle        []*source            // members that wait, the longest first
	free        *entry               // list of entries to use again, linked by next
}

// entry is a message in one queue. It is used again when it is settled; only its
// body may be referred to for longer.
type entry struct {
	record     broker.Record
	fields     [8]broker.Field // for the record's header, if it has not more
	sequence   uint64
	failures   int
	deliveries int
	prev, next *entry
}

// ownership binds a key to the member that holds entries of it.
type ownership struct {
	owner *source
	held  int
}

func (q *queue) append(r *broker.Record) {
	q.sequence++
	q.depth++
	e := q.allocate()
	e.sequence = q.sequence
	e.record = broker.Record{Key: r.Key, Body: r.Body, Header: append(e.fields[:0], r.Header...)}
	q.insertAfter(q.last, e)
	q.callFor(e)
}

func (q *queue) allocate() *entry {
	e := q.free
	if e == nil {
		return new(entry)
	}
	q.free, e.next = e.next, nil
	return e
}

// insertAfter links e behind prev, or in front of all when prev is nil.
func (q *queue) insertAfter(prev, e *entry) {
	e.prev = prev
	if prev == nil {
		e.next, q.first = q.first, e
	} else {
		e.next, prev.next = prev.next, e
	}
	if e.next == nil {
		q.last = e
	} else {
		e.next.prev = e
	}
}

func (q *queue) unlink(e *entry) {
	if e.prev == nil {
		q.first = e.next
	} else {
		e.prev.next = e.next
	}
	if e.next == nil {
		q.last = e.prev
	} else {
		e.next.prev = e.prev
	}
	e.prev, e.next = nil, nil
}

// take gives the oldest entries to s that no other member's key holds back.
func (q *queue) take(s *source, buf []broker.Raw) int {
	n := 0
	for e := q.first; e != nil && n < len(buf); {
		next := e.next
		if owner := q.owned[e.record.Key].owner; owner == nil || owner == s {
			q.unlink(e)
			buf[n] = q.deliver(e, s)
			n++
		}
		e = next
	}
	if n > 0 && q.first != nil {
		q.call()
	}
	return n
}

func (q *queue) deliver(e *entry, s *source) broker.Raw {
	if key := e.record.Key; key != "" {
		q.owned[key] = ownership{s, q.owned[key].held + 1}
	}
	e.deliveries++
	return broker.Raw{Key: e.record.Key, Failures: e.failures, Deliveries: e.deliveries, Value: e}
}

// settled ends the hold of a member on e.
func (q *queue) settled(e *entry) {
	q.depth--
	q.release(e.record.Key)
	*e = entry{next: q.free}
	q.free = e
	q.topic.roomMade()
}

// giveBack returns e to its place.
func (q *queue) giveBack(e *entry, failures int) {
	e.failures = failures
	q.release(e.record.Key)
	var prev *entry
	for at := q.first; at != nil && at.sequence < e.sequence; at = at.next {
		prev = at
	}
	q.insertAfter(prev, e)
	q.callFor(e)
}

// release lets other members have the key once its owner holds none of it.
func (q *queue) release(key string) {
	if key == "" {
		return
	}
	o := q.owned[key]
	if o.held--; o.held > 0 {
		q.owned[key] = o
		return
	}
	delete(q.owned, key)
	if q.first != nil {
		q.call()
	}
}

// callFor wakes a member that may take e: the owner of its key, else any.
func (q *queue) callFor(e *entry) {
	owner := q.owned[e.record.Key].owner
	if owner == nil {
		q.call()
		return
	}
	if i := slices.Index(q.idle, owner); i >= 0 {
		q.wake(i)
	}
}

// call wakes the member that has waited longest. It calls the next one itself
// if it leaves something.
func (q *queue) call() {
	if len(q.idle) > 0 {
		q.wake(0)
	}
}

func (q *queue) wake(i int) {
	s := q.idle[i]
	q.idle = slices.Delete(q.idle, i, i+1)
	s.signal()
}
