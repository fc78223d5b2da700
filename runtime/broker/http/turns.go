package httpbroker

import (
	"context"
	"sync"
	"time"
)

// turns let one message of each key be on its way, the others behind it in their
// order.
type turns struct {
	mu   sync.Mutex
	keys map[string][]chan struct{} // those who wait, first come first
}

// take waits for the turn of a key, until deadline at most, and reports whether it had
// to. Without a key it is always one's turn.
func (t *turns) take(ctx context.Context, key string, deadline time.Time) (waited bool, err error) {
	if key == "" {
		return false, nil
	}
	t.mu.Lock()
	waiting, taken := t.keys[key]
	if !taken {
		if t.keys == nil {
			t.keys = make(map[string][]chan struct{})
		}
		t.keys[key] = nil
		t.mu.Unlock()
		return false, nil
	}
	mine := make(chan struct{})
	t.keys[key] = append(waiting, mine)
	t.mu.Unlock()
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	select {
	case <-mine:
		return true, nil
	case <-timer.C:
		t.withdraw(key, mine)
		return true, context.DeadlineExceeded
	case <-ctx.Done():
		t.withdraw(key, mine)
		return true, context.Cause(ctx)
	}
}

// withdraw leaves the line, or passes on a turn that came at the same moment.
func (t *turns) withdraw(key string, mine chan struct{}) {
	t.mu.Lock()
	waiting := t.keys[key]
	for i, c := range waiting {
		if c == mine {
			t.keys[key] = append(waiting[:i:i], waiting[i+1:]...)
			t.mu.Unlock()
			return
		}
	}
	t.mu.Unlock()
	t.give(key)
}

// give ends a turn.
func (t *turns) give(key string) {
	if key == "" {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	waiting := t.keys[key]
	if len(waiting) == 0 {
		delete(t.keys, key)
		return
	}
	t.keys[key] = waiting[1:]
	close(waiting[0])
}
