package httpbroker

import (
	"sync"
	"sync/atomic"
)

// quota bounds what requests may hold: their number while they are read, their
// bytes until the last of their messages is settled.
type quota struct {
	mu       sync.Mutex
	requests int
	bytes    int64
}

// room is what one request takes of a quota.
type room struct {
	quota *quota
	bytes int64
	users atomic.Int32 // the request, and its messages that are not settled
}

// enter returns room for a request of size bytes, or nil.
func (q *quota) enter(size int64, maxRequests int, maxBytes int64) *room {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.requests >= maxRequests || q.bytes+size > maxBytes && q.bytes > 0 {
		return nil
	}
	q.requests++
	q.bytes += size
	r := &room{quota: q, bytes: size}
	r.users.Store(1)
	return r
}

// leave ends the request. Its bytes stay until its messages are settled.
func (r *room) leave() {
	r.quota.mu.Lock()
	r.quota.requests--
	r.quota.mu.Unlock()
	r.release()
}

func (r *room) hold() { r.users.Add(1) }

func (r *room) release() {
	if r.users.Add(-1) == 0 {
		r.quota.mu.Lock()
		r.quota.bytes -= r.bytes
		r.quota.mu.Unlock()
	}
}
