package event

import (
	"context"
	"fmt"
	"sync"

	"google.golang.org/protobuf/proto"
)

// DedupKey is what a [DedupStore] remembers of an event that was handled.
type DedupKey struct {
	// Source and ID are those of the event; together they are unique.
	Source, ID string

	// Queue is the queue that handled it: each queue has its own copy. Empty for
	// broadcast, where each replica has one.
	Queue string
}

// DedupStore remembers which events were handled. Its methods may be called
// concurrently.
type DedupStore interface {
	// Seen reports whether key was marked. An error makes the attempt fail, and
	// be retried.
	Seen(ctx context.Context, key DedupKey) (bool, error)

	// Mark remembers key. It reports its failures itself: the event is handled,
	// and an error would only have it handled again.
	Mark(ctx context.Context, key DedupKey)
}

// Dedup acknowledges, unhandled, events that the store has seen. An event is
// marked after its handler succeeded, so that a failed attempt does not stand in
// the way of the next one.
//
// It narrows at least once, it does not make it exactly once: an event comes
// again when the process dies between handling and marking, when the store has
// forgotten it, or when two copies without a key are handled at the same moment.
// Events without an id are always handled.
func Dedup(store DedupStore) HandleInterceptor {
	return func(next HandleFunc) HandleFunc {
		return func(ctx context.Context, m proto.Message) error {
			e := FromContext(ctx)
			key := DedupKey{Source: e.Source(), ID: e.ID(), Queue: e.Queue()}
			if key.ID == "" {
				return next(ctx, m)
			}
			switch seen, err := store.Seen(ctx, key); {
			case err != nil:
				return fmt.Errorf("event: look for duplicate: %w", err)
			case seen:
				return nil
			}
			if err := next(ctx, m); err != nil {
				return err
			}
			store.Mark(ctx, key)
			return nil
		}
	}
}

// MemoryDedup is a [DedupStore] in this process. It knows nothing of what other
// replicas handled: it catches what is published or delivered twice within a
// short time to a replica, which takes no more than memory.
type MemoryDedup struct {
	mu     sync.Mutex
	seen   map[DedupKey]struct{}
	oldest []DedupKey // a ring of what is in seen, once it is full
	next   int        // place in it of the oldest
	limit  int
}

var _ DedupStore = (*MemoryDedup)(nil)

// NewMemoryDedup returns a store of the last n events, at least one. An entry
// takes about 200 bytes.
func NewMemoryDedup(n int) *MemoryDedup {
	return &MemoryDedup{seen: make(map[DedupKey]struct{}), limit: max(n, 1)}
}

// Seen implements [DedupStore].
func (d *MemoryDedup) Seen(_ context.Context, key DedupKey) (bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, seen := d.seen[key]
	return seen, nil
}

// Mark implements [DedupStore]. When the store is full it forgets the oldest.
func (d *MemoryDedup) Mark(_ context.Context, key DedupKey) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, seen := d.seen[key]; seen {
		return
	}
	if len(d.oldest) < d.limit {
		d.oldest = append(d.oldest, key)
	} else {
		delete(d.seen, d.oldest[d.next])
		d.oldest[d.next] = key
		d.next = (d.next + 1) % d.limit
	}
	d.seen[key] = struct{}{}
}
