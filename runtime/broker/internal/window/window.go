// Package window bounds how many messages of a driver are on their way, from sending to
// what the server says of them.
package window

import (
	"context"
	"fmt"

	"github.com/micro-event/micro-event/runtime/broker"
)

// Window has room for so many messages as its capacity says. It may be used
// concurrently.
type Window struct {
	slots chan struct{}
	ended <-chan struct{}
}

// New returns a window for n messages. Those who wait for room stop when ended is
// closed.
func New(n int, ended <-chan struct{}) *Window {
	return &Window{make(chan struct{}, n), ended}
}

// Take waits for room, unless noWait is given, and must be followed by Free. Its errors
// say that nothing was sent.
func (w *Window) Take(ctx context.Context, noWait bool) error {
	if w.take() {
		return nil
	}
	if noWait {
		return broker.NotDelivered(fmt.Errorf("%w in the publish window", broker.ErrBackpressure))
	}
	select {
	case w.slots <- struct{}{}:
		return nil
	case <-w.ended:
		return broker.NotDelivered(broker.ErrClosed)
	case <-ctx.Done():
		return broker.NotDelivered(fmt.Errorf("wait for room in the publish window: %w", context.Cause(ctx)))
	}
}

// take takes room where there is some.
func (w *Window) take() bool {
	select {
	case w.slots <- struct{}{}:
		return true
	default:
		return false
	}
}

// Free gives room back.
func (w *Window) Free() { <-w.slots }

// Batch sends n messages in their order, as many at a time as w has room for, and
// returns what became of each. What send returns without an error is awaited. A message
// for which there is no room fails, and with it those behind.
func Batch[S any](ctx context.Context, w *Window, n int, noWait bool, send func(i int) (S, error), await func(S) error) []error {
	b := batch[S]{window: w, await: await, errs: make([]error, n), sent: make([]S, n)}
	var full error
	for i := range n {
		if full == nil {
			full = b.makeRoom(ctx, i, noWait)
		}
		if b.errs[i] = full; full != nil {
			continue
		}
		if b.sent[i], b.errs[i] = send(i); b.errs[i] != nil {
			w.Free()
		}
	}
	for b.waited < n {
		b.awaitNext()
	}
	return b.errs
}

// batch is one Batch: the messages before waited are done, those after it may be on
// their way.
type batch[S any] struct {
	window *Window
	await  func(S) error
	sent   []S
	errs   []error
	waited int
}

// makeRoom takes room for message i, by waiting for those before it if need be.
func (b *batch[S]) makeRoom(ctx context.Context, i int, noWait bool) error {
	for b.waited < i {
		if b.window.take() {
			return nil
		}
		b.awaitNext()
	}
	return b.window.Take(ctx, noWait)
}

func (b *batch[S]) awaitNext() {
	i := b.waited
	b.waited++
	if b.errs[i] == nil {
		b.errs[i] = b.await(b.sent[i])
		b.window.Free()
	}
}
