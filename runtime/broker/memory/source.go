package memorybroker

import (
	"context"
	"errors"

	"github.com/micro-event/micro-event/runtime/broker"
)

var errStopped = errors.New("memory: source is stopped")

// source is one member of a queue.
type source struct {
	queue   *queue
	wake    chan struct{} // has room for one
	stopped bool          // guarded by the queue's mutex
}

var _ broker.Source = (*source)(nil)

func (s *source) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Receive implements [broker.Source].
func (s *source) Receive(ctx context.Context, buf []broker.Raw) (int, error) {
	for {
		n, err := s.queue.takeOrWait(s, buf)
		if n > 0 || err != nil {
			return n, err
		}
		select {
		case <-s.wake:
		case <-ctx.Done():
			s.leave()
			return 0, context.Cause(ctx)
		}
	}
}

// leave stops waiting, and passes on a wake-up that came at the same moment.
func (s *source) leave() {
	t := s.queue.topic
	t.mu.Lock()
	defer t.mu.Unlock()
	if !s.queue.inbox.wakeMember(s) {
		s.queue.inbox.call()
	}
}

// Load implements [broker.Source].
func (s *source) Load(r *broker.Raw) (broker.Record, error) {
	return entryOf(r).record, nil
}

// Settle implements [broker.Source].
func (s *source) Settle(_ context.Context, r *broker.Raw, o broker.Outcome, _ error) error {
	if o == broker.GiveBack {
		s.queue.giveBack(entryOf(r), r.Failures)
	} else {
		s.queue.settle(entryOf(r))
	}
	return nil
}

func entryOf(r *broker.Raw) *entry {
	return r.Value.(*entry) //nolint:forcetypeassert // deliver puts nothing else there
}

// Extend implements [broker.Source]. There is no ack clock.
func (s *source) Extend(context.Context, []broker.Raw) {}

// Stop implements [broker.Source].
func (s *source) Stop(context.Context) error {
	s.queue.mu.Lock()
	defer s.queue.mu.Unlock()
	s.stopped = true
	s.queue.callMember(s)
	return nil
}

// Close implements [broker.Source]. The copy of a single subscription ends; a
// named queue stays.
func (s *source) Close(context.Context) error {
	s.queue.leave()
	if !s.queue.named {
		s.queue.topic.remove(s.queue)
	}
	return nil
}
