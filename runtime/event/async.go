package event

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"google.golang.org/protobuf/proto"

	"github.com/micro-event/micro-event/runtime/broker"
)

// Defaults and limits of asynchronous publishing.
const (
	// DefaultMaxPending is how many events an [AsyncClient] holds at most.
	DefaultMaxPending = 1024

	// maxBatch is how many events go to the broker at once.
	maxBatch = 256

	// maxFailures is how many failures Flush reports one by one.
	maxFailures = 100
)

// AsyncClient is a [Publisher] that does not wait for the broker: nil from
// PublishEvent means that the event is one of those that the client holds. What
// becomes of them, [AsyncClient.Flush] and the callback of [OnResult] tell.
//
// It publishes what came in meanwhile as one batch, so that it is much faster
// than a [Client] where an acknowledgement takes time. Events of one topic go to
// the broker in the order of their PublishEvent, one batch at a time, so that the
// order of a key is kept; topics do not wait for each other. An event that failed
// is not published again.
//
// Events that are held, encoded, take memory, and are lost when the process dies.
// It may be used concurrently. It starts goroutines while it has something to publish and none
// otherwise; [AsyncClient.Close] ends them.
type AsyncClient struct {
	sender
	onResult func(AsyncResult)
	room     chan struct{} // holds one for each event that is held

	workers  sync.WaitGroup
	mu       sync.Mutex
	closed   bool
	sequence uint64           // of the newest event
	pending  int              // events that are held
	lanes    map[string]*lane // of topics that have something to publish
	flushes  []*flush
	failures failures
}

var _ Publisher = (*AsyncClient)(nil)

// AsyncOption sets an option of an asynchronous client.
type AsyncOption interface{ applyAsync(*asyncOptions) }

type asyncOption func(*asyncOptions)

func (f asyncOption) applyAsync(o *asyncOptions) { f(o) }

type asyncOptions struct {
	maxPending int
	onResult   func(AsyncResult)
}

// MaxPending sets how many events the client holds at most. When it holds so
// many, PublishEvent waits. Default: [DefaultMaxPending].
func MaxPending(n int) AsyncOption {
	return asyncOption(func(o *asyncOptions) { o.maxPending = n })
}

// OnResult sets a function that is called with what became of each event, in the
// order of publishing within a topic, and concurrently for different ones. It
// must not block: the next events of the topic wait for it. It must not call the
// client. Default: none.
func OnResult(f func(AsyncResult)) AsyncOption {
	return asyncOption(func(o *asyncOptions) { o.onResult = f })
}

// AsyncResult is what became of one event.
type AsyncResult struct {
	// Type, Topic, Key and ID are those of the event.
	Type, Topic, Key, ID string

	// Err is nil when the broker accepted the event, and otherwise what
	// [Client.PublishEvent] would have returned.
	Err error
}

// NewAsyncClient returns a client that publishes as c does, through the same
// broker, with the same source, options and interceptors, but without waiting.
// The interceptors end when the event is held.
//
// An option that is not valid makes every call of PublishEvent fail.
func NewAsyncClient(c *Client, opts ...AsyncOption) *AsyncClient {
	o := asyncOptions{maxPending: DefaultMaxPending}
	for _, opt := range opts {
		opt.applyAsync(&o)
	}
	a := &AsyncClient{onResult: o.onResult, lanes: make(map[string]*lane)}
	a.broker, a.source, a.options, a.err = c.broker, c.source, c.options, c.err
	if o.maxPending < 1 {
		a.err = errors.Join(a.err, fmt.Errorf("max pending is %d, less than 1", o.maxPending))
	}
	a.room = make(chan struct{}, max(o.maxPending, 1))
	a.start(a.hold)
	return a
}

// PublishEvent takes m to publish it. It encodes m at once, so that the caller
// may change it afterwards. It waits while the client is full; ctx bounds that
// wait, and nothing else. The errors are those of [Client.PublishEvent]: the
// event is not valid, there was no room in time, or the client is closed
// (broker.ErrClosed).
func (a *AsyncClient) PublishEvent(ctx context.Context, s *Spec, m proto.Message) error {
	return a.publishEvent(ctx, s, m)
}

// hold queues p for its topic.
func (a *AsyncClient) hold(ctx context.Context, p *publication) error {
	if err := a.reserve(ctx); err != nil {
		a.release(p)
		return fmt.Errorf("%w: %w", broker.ErrNotDelivered, err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		<-a.room
		a.release(p)
		return fmt.Errorf("%w: %w", broker.ErrNotDelivered, broker.ErrClosed)
	}
	a.sequence++
	a.pending++
	p.sequence = a.sequence
	l := a.lanes[p.topic]
	if l == nil {
		l = a.startLane(p.topic) //nolint:contextcheck // it outlives this call, and its batches hold events of others
	}
	l.waiting = append(l.waiting, p)
	return nil
}

// reserve waits for room.
func (a *AsyncClient) reserve(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	select {
	case a.room <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", broker.ErrBackpressure, context.Cause(ctx))
	}
}

// Flush waits until what was published before is with the broker, or failed, and
// returns the failures since the last Flush, joined: the first hundred, and how
// many more there were. Ctx bounds the wait; the events are then still held.
func (a *AsyncClient) Flush(ctx context.Context) error {
	waitErr := a.settled(ctx)
	a.mu.Lock()
	failed := a.failures.take()
	a.mu.Unlock()
	if waitErr == nil && failed == nil {
		return nil
	}
	return fmt.Errorf("event: flush: %w", errors.Join(waitErr, failed))
}

// Close refuses further events and flushes. When ctx ends first, it gives up the
// events that are still held: their results, and the error of Close, say whether
// they may have been published. Closing again only flushes. The broker is the
// caller's to disconnect, afterwards.
func (a *AsyncClient) Close(ctx context.Context) error {
	a.mu.Lock()
	a.closed = true
	a.mu.Unlock()
	if err := a.settled(ctx); err != nil {
		a.abandon(err)
	}
	a.workers.Wait()
	a.mu.Lock()
	defer a.mu.Unlock()
	if failed := a.failures.take(); failed != nil {
		return fmt.Errorf("event: close: %w", failed)
	}
	return nil
}

// abandon cancels what is being published; with a context that has ended, the
// broker takes nothing else.
func (a *AsyncClient) abandon(cause error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, l := range a.lanes {
		l.cancel(cause)
	}
}
