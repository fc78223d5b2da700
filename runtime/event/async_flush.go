package event

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// flush waits for the events that were held when it began.
type flush struct {
	upTo uint64 // the newest of them
	left int
	done chan struct{} // closed when none is left
}

func (f *flush) count(sequence uint64) {
	if sequence > f.upTo {
		return
	}
	if f.left--; f.left == 0 {
		close(f.done)
	}
}

// settled waits until everything that is held now has ended.
func (a *AsyncClient) settled(ctx context.Context) error {
	f := a.newFlush()
	if f == nil {
		return nil
	}
	defer a.forget(f)
	select {
	case <-f.done:
		return nil
	case <-ctx.Done():
		a.mu.Lock()
		defer a.mu.Unlock()
		return fmt.Errorf("%d events are still held: %w", f.left, context.Cause(ctx))
	}
}

// newFlush returns nil when nothing is held.
func (a *AsyncClient) newFlush() *flush {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.pending == 0 {
		return nil
	}
	f := &flush{upTo: a.sequence, left: a.pending, done: make(chan struct{})}
	a.flushes = append(a.flushes, f)
	return f
}

func (a *AsyncClient) forget(f *flush) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.flushes = slices.DeleteFunc(a.flushes, func(other *flush) bool { return other == f })
}

// failures are those that Flush has not reported yet. There is a limit to them,
// for programs that never flush.
type failures struct {
	errs []error
	more int
}

func (f *failures) add(err error) {
	if len(f.errs) < maxFailures {
		f.errs = append(f.errs, err)
	} else {
		f.more++
	}
}

// take returns the failures as one error, and forgets them.
func (f *failures) take() error {
	errs := f.errs
	if f.more > 0 {
		errs = append(errs, fmt.Errorf("and %d more failures", f.more))
	}
	*f = failures{}
	return errors.Join(errs...)
}
