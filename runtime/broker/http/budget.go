package httpbroker

import (
	"sync"
	"time"
)

const (
	// budgetRate and budgetSize bound the retries of a publisher that follow
	// quickly on a failure.
	budgetRate = 100 // per second
	budgetSize = 200
)

// budget keeps the retries of many callers from becoming a load of their own: a
// bucket of tokens, one for each quick retry. When it is empty retries wait as
// long as they may.
type budget struct {
	mu     sync.Mutex
	tokens float64
	filled time.Time
}

// delay returns how long to wait before a retry after a number of failures.
func (b *budget) delay(failures int) time.Duration {
	if !b.take(time.Now()) {
		return backoff(maxBackoffSteps)
	}
	return backoff(failures)
}

func (b *budget) take(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.filled.IsZero() {
		b.tokens, b.filled = budgetSize, now
	}
	b.tokens = min(budgetSize, b.tokens+now.Sub(b.filled).Seconds()*budgetRate)
	b.filled = now
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}
