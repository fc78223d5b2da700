package httpbroker

import (
	"math/rand/v2"
	"sync"
	"time"
)

const (
	lowestBackoff  = 10 * time.Millisecond
	highestBackoff = time.Second

	// fullBackoff bounds the backoff from a member that is full: it is well, and
	// has room again soon.
	fullBackoff = 100 * time.Millisecond
)

// health is the breaker of an endpoint. After a member could not be reached, or
// failed twice in a row, it is left alone for a while; then one message tries,
// and the others follow when that one was answered.
type health struct {
	mu       sync.Mutex
	failures int // in a row
	retryAt  time.Time
	mended   chan struct{} // closed at the next success; nil when nobody waits
}

// isWell reports whether nothing is known against the endpoint.
func (h *health) isWell() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.retryAt.IsZero()
}

// available reports whether the endpoint may be asked now. Where a failure lies
// behind, that is so for one caller at a time.
func (h *health) available(now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.retryAt.IsZero() {
		return true
	}
	if now.Before(h.retryAt) {
		return false
	}
	h.retryAt = now.Add(attemptTimeout) // until then, this caller knows more
	return true
}

// wait returns when the endpoint may be asked again, and what tells of that
// being so sooner.
func (h *health) wait() (time.Time, <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.mended == nil {
		h.mended = make(chan struct{})
	}
	return h.retryAt, h.mended
}

func (h *health) succeed() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failures, h.retryAt = 0, time.Time{}
	if h.mended != nil {
		close(h.mended)
		h.mended = nil
	}
}

func (h *health) fail(k kind) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if k == full || k == rejected {
		return // it is well
	}
	h.failures++
	if k == cut && h.failures < 2 {
		return
	}
	h.retryAt = time.Now().Add(backoff(h.failures))
}

// silent notes that a member did not answer at all. Whoever tries it next loses
// the time of an attempt, so it is left alone for as long as any failure allows.
func (h *health) silent() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failures++
	h.retryAt = time.Now().Add(backoff(maxBackoffSteps))
}

// maxBackoffSteps is after how many failures the backoff grows no more.
const maxBackoffSteps = 8

// backoff is the delay after a number of failures, doubled each time, with
// jitter.
func backoff(failures int) time.Duration {
	d := highestBackoff
	if failures < maxBackoffSteps {
		d = min(d, lowestBackoff<<max(failures-1, 0))
	}
	return d/2 + rand.N(d)
}
