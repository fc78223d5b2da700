package memorybroker

import (
	"bytes"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/micro-event/micro-event/runtime/broker"
)

// topic hands each message to all its queues at once, or lets it wait until all
// have room. Its mutex guards the inboxes of the queues too.
type topic struct {
	driver *Driver

	mu      sync.Mutex
	named   map[string]*queue
	queues  []*queue // the named ones and those of single subscriptions
	waiting []*publication
	_       apart
	crowded atomic.Bool // len(waiting) > 0
}

// publication is a Publish that waits for room.
type publication struct {
	record broker.Record // its body is the caller's, who waits, unless it is large
	done   chan error    // has room for one
}

// publish enqueues r, or returns a publication to wait for.
func (t *topic) publish(r *broker.Record, noWait bool) (*publication, error) {
	kept := broker.Record{Key: r.Key, Header: r.TakeHeader(), Body: r.Body}
	if len(r.Body) > maxKeptBody {
		kept.Body = bytes.Clone(r.Body) // not while others wait for mu
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.driver.closed.Load():
		return nil, broker.NotDelivered(broker.ErrClosed)
	case len(t.queues) == 0:
		return nil, broker.NotDelivered(broker.ErrNoSubscribers)
	case len(t.waiting) == 0 && t.hasRoom():
		t.enqueue(&kept)
		return nil, nil
	case noWait:
		return nil, broker.NotDelivered(broker.ErrBackpressure)
	}
	p := &publication{kept, make(chan error, 1)}
	t.waiting = append(t.waiting, p)
	t.crowded.Store(true)
	t.admit() // what was settled since hasRoom looked did not see that p waits
	return p, nil
}

// withdraw takes back a publication and reports whether it still waited.
func (t *topic) withdraw(p *publication) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := slices.Index(t.waiting, p)
	if i < 0 {
		return false
	}
	t.waiting = slices.Delete(t.waiting, i, i+1)
	t.crowded.Store(len(t.waiting) > 0)
	return true
}

func (t *topic) hasRoom() bool {
	for _, q := range t.queues {
		if !q.inbox.hasRoom(t.driver.capacity) {
			return false
		}
	}
	return true
}

// enqueue puts r into every queue; they share the list of headers, and the body
// if it is large.
func (t *topic) enqueue(r *broker.Record) {
	for _, q := range t.queues {
		q.inbox.append(r)
	}
}

// roomMade sees to what waits after entries were settled.
func (t *topic) roomMade() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.admit()
}

// admit enqueues what waits, in order, as far as there is room. The caller holds
// mu.
func (t *topic) admit() {
	if len(t.queues) == 0 {
		t.fail(broker.NotDelivered(broker.ErrNoSubscribers))
	}
	for len(t.waiting) > 0 && t.hasRoom() {
		p := t.waiting[0]
		t.waiting[0] = nil
		t.waiting = t.waiting[1:]
		t.enqueue(&p.record)
		p.done <- nil
	}
	t.crowded.Store(len(t.waiting) > 0)
}

func (t *topic) failWaiting(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.fail(err)
}

func (t *topic) fail(err error) {
	for _, p := range t.waiting {
		p.done <- err
	}
	t.waiting = nil
	t.crowded.Store(false)
}

func (t *topic) declare(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.queue(name)
}

func (t *topic) open(name string) *source {
	t.mu.Lock()
	q := t.queue(name)
	t.mu.Unlock()
	s := &source{queue: q, wake: make(chan struct{}, 1)}
	q.join()
	return s
}

// queue returns the named queue, or a new one for a single subscription when
// name is empty. The caller holds mu.
func (t *topic) queue(name string) *queue {
	if q := t.named[name]; q != nil {
		return q
	}
	q := &queue{topic: t, owners: owners{byKey: make(map[string]*ownership)}}
	t.queues = append(t.queues, q)
	if name != "" {
		q.named = true
		t.named[name] = q
	}
	return q
}

// remove ends the queue of a single subscription.
func (t *topic) remove(q *queue) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.queues = slices.DeleteFunc(t.queues, func(other *queue) bool { return other == q })
	t.admit()
}
