package httpbroker

import (
	"context"
	"sync"
	"time"
)

// MemoryRegistry is a [Registry] inside one process, for tests and for programs
// whose services are all in it. It forgets nothing but what is deregistered or
// has expired.
type MemoryRegistry struct {
	mu     sync.Mutex
	topics map[string]*memoryTopic
}

type memoryTopic struct {
	expires map[Entry]time.Time
	view    *View
	until   time.Time     // when the first entry of the view expires
	changed chan struct{} // closed at the next change
}

var _ Registry = (*MemoryRegistry)(nil)

// NewMemoryRegistry returns an empty registry. Give the same one to all brokers
// that are to find each other.
func NewMemoryRegistry() *MemoryRegistry {
	return &MemoryRegistry{topics: make(map[string]*memoryTopic)}
}

// Register implements [Registry].
func (r *MemoryRegistry) Register(_ context.Context, e Entry, ttl time.Duration) error {
	if err := e.check(); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.topic(e.Topic)
	_, known := t.expires[e]
	t.expires[e] = time.Now().Add(ttl)
	if !known {
		t.rebuild()
	}
	return nil
}

// Deregister implements [Registry].
func (r *MemoryRegistry) Deregister(_ context.Context, e Entry) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.topic(e.Topic)
	if _, known := t.expires[e]; known {
		delete(t.expires, e)
		t.rebuild()
	}
	return nil
}

// Lookup implements [Registry].
func (r *MemoryRegistry) Lookup(_ context.Context, topic string) (*View, error) {
	view, _ := r.look(topic)
	return view, nil
}

// Watch implements [Registry].
func (r *MemoryRegistry) Watch(ctx context.Context, topic string, seen *View) error {
	for {
		view, t := r.look(topic)
		if view != seen {
			return nil
		}
		r.mu.Lock()
		changed, until := t.changed, t.until
		r.mu.Unlock()
		expiry := time.NewTimer(time.Until(until))
		select {
		case <-ctx.Done():
			expiry.Stop()
			return context.Cause(ctx)
		case <-changed:
			expiry.Stop()
		case <-expiry.C:
		}
	}
}

func (r *MemoryRegistry) look(topic string) (*View, *memoryTopic) {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.topic(topic)
	if len(t.expires) > 0 && time.Now().After(t.until) {
		t.expire(time.Now())
	}
	return t.view, t
}

func (r *MemoryRegistry) topic(name string) *memoryTopic {
	t := r.topics[name]
	if t == nil {
		t = &memoryTopic{expires: make(map[Entry]time.Time), changed: make(chan struct{})}
		t.rebuild()
		r.topics[name] = t
	}
	return t
}

func (t *memoryTopic) expire(now time.Time) {
	n := len(t.expires)
	for e, at := range t.expires {
		if at.Before(now) {
			delete(t.expires, e)
		}
	}
	if len(t.expires) < n {
		t.rebuild()
	}
	t.findExpiry()
}

func (t *memoryTopic) findExpiry() {
	t.until = time.Now().Add(QueueTTL)
	for _, at := range t.expires {
		if at.Before(t.until) {
			t.until = at
		}
	}
}

func (t *memoryTopic) rebuild() {
	entries := make([]Entry, 0, len(t.expires))
	for e := range t.expires {
		entries = append(entries, e)
	}
	t.view = newView(entries)
	t.findExpiry()
	close(t.changed)
	t.changed = make(chan struct{})
}
