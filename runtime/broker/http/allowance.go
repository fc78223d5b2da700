package httpbroker

import "sync"

// allowance bounds messages and their bytes. A message that is larger than all
// there may be fits when there is no other one.
type allowance struct {
	messages int
	bytes    int64

	mu        sync.Mutex
	used      int
	usedBytes int64
	freed     chan struct{} // closed at the next give; nil when nobody waits
}

// take reports whether there is room for a message, and takes it.
func (a *allowance) take(size int64) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.used >= a.messages || a.used > 0 && a.usedBytes+size > a.bytes {
		return false
	}
	a.used++
	a.usedBytes += size
	return true
}

// force takes room that there may not be.
func (a *allowance) force(size int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.used++
	a.usedBytes += size
}

func (a *allowance) give(size int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.used--
	a.usedBytes -= size
	if a.freed != nil {
		close(a.freed)
		a.freed = nil
	}
}

// room returns a channel that is closed when room was made.
func (a *allowance) room() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.freed == nil {
		a.freed = make(chan struct{})
	}
	return a.freed
}
