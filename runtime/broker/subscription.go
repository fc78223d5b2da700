package broker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// handlerGrace is how long Unsubscribe waits for a handler after its
// cancellation.
const handlerGrace = time.Second

// errDrained cancels the handlers of a drain that ran out of time.
var errDrained = errors.New("broker: the subscription ended")

// subscription pulls deliveries from a source and runs their handlers.
//
// Its workers are at most MaxInFlight+1 goroutines, started on demand: the ones
// that run handlers, and one that waits in Receive. A worker takes what is most
// urgent, and before it starts calls another one if there is more to do, so that
// no wake-up is needed but the first.
type subscription struct {
	engine   *Engine
	settings *settings
	source   Source
	stale    StaleChecker   // the source, if it is one
	watcher  AttemptWatcher // the source, if it is one
	lends    bool           // the source is a Lender
	topic    string
	handler  RecordHandler
	options  SubscribeOptions
	log      *contiguousLog // nil unless deliveries are settled in their order

	// Handlers' contexts live as long as the subscription, hence fields.
	ctx       context.Context // of handlers, with the values of Subscribe's; ended by cancel
	cancel    context.CancelCauseFunc
	pulling   context.Context // of Receive; ended by stopPulling
	stopPull  context.CancelFunc
	settling  context.Context // of settlements; never ended
	clock     *clock          // mu is held when it is looked at
	over      chan struct{}   // closed when no worker is left and the source is closed
	closeErr  error           // of the source; read after over
	receiveIn []Raw           // buffer of the worker that receives

	mu        sync.Mutex
	called    sync.Cond // a waiting worker is called
	workers   int
	waiting   int // of the workers
	running   int // handlers
	receiving bool
	arrivals  uint // how often a Lender told of some
	empty     bool // nothing has arrived there since a Receive that brought nothing
	failures  int  // of Receive, in a row
	paused    bool // between failures of Receive
	stopping  bool
	noWorkers chan struct{} // closed when stopping and workers is 0
	holdings  holdings
}

var _ Subscriber = (*subscription)(nil)

// handlerKey is the context key under which handlers find their subscription.
type handlerKey struct{}

// handledBy returns the subscription of e whose handler was given ctx, or nil.
func handledBy(ctx context.Context, e *Engine) *subscription {
	if s, ok := ctx.Value(handlerKey{}).(*subscription); ok && s.engine == e {
		return s
	}
	return nil
}

// HandlerSource returns the source of the delivery whose handler was given ctx,
// or nil when ctx is not a handler's. A driver whose Publish waits for handlers
// can tell by it that one would wait for itself.
func HandlerSource(ctx context.Context) Source {
	if s, ok := ctx.Value(handlerKey{}).(*subscription); ok {
		return s.source
	}
	return nil
}

func newSubscription(ctx context.Context, e *Engine, src Source, topic string, h RecordHandler, o SubscribeOptions) *subscription {
	s := &subscription{
		engine:    e,
		settings:  e.settings.Load(),
		source:    src,
		topic:     topic,
		handler:   h,
		options:   o,
		over:      make(chan struct{}),
		noWorkers: make(chan struct{}),
		holdings:  holdings{lanes: make(map[string]*lane)},
		clock:     newClock(),
	}
	s.stale, _ = src.(StaleChecker)
	s.watcher, _ = src.(AttemptWatcher)
	s.called.L = &s.mu
	s.settling = context.WithoutCancel(ctx)
	s.pulling, s.stopPull = context.WithCancel(s.settling)
	handling, cancel := context.WithCancelCause(s.settling)
	s.ctx, s.cancel = context.WithValue(handling, handlerKey{}, s), cancel
	s.receiveIn = make([]Raw, o.MaxInFlight+o.Prefetch)
	if s.settings.info.Capabilities.Contiguous {
		s.log = newContiguousLog()
	}
	return s
}

func (s *subscription) start() {
	if lender, ok := s.source.(Lender); ok {
		s.lends = true
		lender.LendTo(s.lend)
	}
	s.mu.Lock()
	s.callWorker()
	s.mu.Unlock()
	if wait := s.settings.info.AckWait; wait > 0 {
		go s.heartbeat(wait / 3)
	}
}

// heartbeat keeps what is held from being delivered again (S5).
func (s *subscription) heartbeat(every time.Duration) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-s.over:
			return
		case <-ticker.C:
			if held := s.held(); len(held) > 0 {
				s.source.Extend(s.settling, held)
			}
		}
	}
}

func (s *subscription) held() []Raw {
	s.mu.Lock()
	defer s.mu.Unlock()
	held := make([]Raw, 0, s.holdings.len)
	for it := s.holdings.first; it != nil; it = it.next {
		held = append(held, it.raw)
	}
	return held
}

// Options implements [Subscriber].
func (s *subscription) Options() SubscribeOptions { return s.options }

// Topic implements [Subscriber].
func (s *subscription) Topic() string { return s.topic }

// Unsubscribe implements [Subscriber].
func (s *subscription) Unsubscribe(ctx context.Context) error {
	s.stop()
	err := s.await(ctx)
	if err != nil {
		return fmt.Errorf("broker: unsubscribe from %q (queue %q): %w", s.topic, s.options.Queue, err)
	}
	return nil
}

func (s *subscription) await(ctx context.Context) error {
	if handledBy(ctx, s.engine) == s {
		return ErrInHandler
	}
	select {
	case <-s.over:
		return s.closeErr
	case <-ctx.Done():
	}
	s.cancel(errDrained)
	grace := time.NewTimer(handlerGrace)
	defer grace.Stop()
	select {
	case <-s.over:
		return s.closeErr
	case <-grace.C:
		return errors.Join(context.Cause(ctx), s.stuck())
	}
}

// stuck says what a drain still waits for.
func (s *subscription) stuck() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for it := s.holdings.first; it != nil; it = it.next {
		if it.state == itemRunning {
			return fmt.Errorf("%d handlers ignore their cancellation, the first with key %q, attempt %d, since %v",
				s.running, it.raw.Key, it.raw.Failures+1, s.clock.time(it.received).Format(time.RFC3339))
		}
	}
	return errors.New("the transport does not settle or close")
}

// stop makes sure that nothing starts any more, and lets the rest end by itself.
func (s *subscription) stop() {
	s.mu.Lock()
	if s.stopping {
		s.mu.Unlock()
		return
	}
	s.stopping = true
	unstarted := s.holdings.takeUnstarted()
	s.called.Broadcast()
	s.mu.Unlock()
	go s.end(unstarted)
}

// end gives back what has not started, waits for what has and closes the source.
func (s *subscription) end(unstarted []*item) {
	stopErr := s.source.Stop(s.settling)
	s.stopPull()
	for _, it := range unstarted {
		s.settle(it, GiveBack, nil)
	}
	<-s.noWorkers
	s.clock.stop()
	s.closeErr = errors.Join(stopErr, s.source.Close(s.settling))
	s.cancel(errDrained)
	s.engine.unregister(s)
	close(s.over)
}
