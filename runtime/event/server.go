package event

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/micro-event/micro-event/runtime/broker"
)

// DefaultDrainTimeout is how long [Server.Run] lets handlers finish.
const DefaultDrainTimeout = 30 * time.Second

// Server runs the handlers of a service. Generated subscribe functions register
// them; then Run, or Start and Stop, does the rest. All methods may be called
// concurrently.
type Server struct {
	broker  broker.Broker
	service string
	options serverOptions
	err     error // why nothing can be subscribed

	serving atomic.Bool // between the end of Start and the beginning of Stop

	lock    chan struct{} // holds one; guards what follows
	started bool
	owned   bool     // Start connected the broker
	routes  []*route // in the order of registration
	live    []broker.Subscriber
}

// NewServer returns a server for a service. The name of the service is its
// queue: its replicas share events, other services get their own copy. It
// follows the grammar of topics.
//
// A name or an option that is not valid makes every call of Subscribe and of
// [Server.Start] fail.
func NewServer(b broker.Broker, service string, opts ...ServerOption) *Server {
	s := &Server{broker: b, service: service, lock: make(chan struct{}, 1)}
	s.options = serverOptions{drainTimeout: DefaultDrainTimeout}
	for _, opt := range opts {
		opt.applyServer(&s.options)
	}
	if b == nil {
		s.err = errors.New("broker of the server is nil")
	}
	if err := broker.CheckTopic(service); err != nil {
		s.err = errors.Join(s.err, fmt.Errorf("name of the service: %w", err))
	}
	s.err = errors.Join(s.err, checkInterceptors(s.options.wrap))
	return s
}

// ServerOption sets an option of a server.
type ServerOption interface{ applyServer(*serverOptions) }

type serverOption func(*serverOptions)

func (f serverOption) applyServer(o *serverOptions) { f(o) }

type serverOptions struct {
	drainTimeout time.Duration
	wrap         []HandleInterceptor
	mapTopic     topicMapping
}

// DrainTimeout sets how long [Server.Run] lets handlers finish when it stops; 0
// or less cancels them at once. Default: [DefaultDrainTimeout].
func DrainTimeout(d time.Duration) ServerOption {
	return serverOption(func(o *serverOptions) { o.drainTimeout = d })
}

// Run starts the server, waits until ctx ends, and stops it within the drain
// timeout. It returns nil after a complete drain, so that a service ends with
//
//	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
//	defer stop()
//	err := server.Run(ctx)
func (s *Server) Run(ctx context.Context) error {
	if err := s.Start(ctx); err != nil {
		return err
	}
	<-ctx.Done()
	drain, cancel := s.drainContext(ctx)
	defer cancel()
	return s.Stop(drain)
}

func (s *Server) drainContext(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), s.options.drainTimeout)
}

// Start subscribes everything that was registered and returns when all
// subscriptions are live. It connects a broker that is not connected. When it
// fails it undoes what it did.
//
// Ctx bounds the call, not what it starts; its values reach the handlers. On a
// running server the error is [ErrServerStarted]; after [Server.Stop] a server
// can be started again.
func (s *Server) Start(ctx context.Context) error {
	if err := s.acquire(ctx); err != nil {
		return fmt.Errorf("event: start %s: %w", s.service, err)
	}
	defer s.unlock()
	if s.started {
		return fmt.Errorf("event: start %s: %w", s.service, ErrServerStarted)
	}
	if err := s.start(ctx); err != nil {
		undo, cancel := s.drainContext(ctx)
		defer cancel()
		return fmt.Errorf("event: start %s: %w", s.service, errors.Join(err, s.stop(undo)))
	}
	s.started = true
	s.serving.Store(true)
	return nil
}

func (s *Server) start(ctx context.Context) error {
	if s.err != nil {
		return s.err
	}
	if err := s.connect(ctx); err != nil {
		return err
	}
	for _, r := range s.routes {
		sub, err := s.receive(ctx, r)
		if err != nil {
			return fmt.Errorf("subscribe %s: %w", r.key, err)
		}
		s.live = append(s.live, sub)
	}
	return nil
}

// receive subscribes a route. As for a [Client], only an engine itself is
// asked for records.
func (s *Server) receive(ctx context.Context, r *route) (broker.Subscriber, error) {
	opts := r.options.brokerOptions(r.key.queue, s.deadLetter(r))
	receiver := r.receiver(s.isShared(r.key.topic))
	if engine, ok := s.broker.(*broker.Engine); ok {
		return engine.SubscribeRecords(ctx, r.key.topic, receiver, opts...)
	}
	return s.broker.Subscribe(ctx, r.key.topic, func(ctx context.Context, d *broker.Delivery) error {
		return receiver(ctx, recordDelivery(d))
	}, opts...)
}

// connect connects the broker, and remembers whether it is the server's to
// disconnect. A broker that cannot tell whether it was connected before is not.
func (s *Server) connect(ctx context.Context) error {
	b, tells := s.broker.(interface{ Connected() bool })
	connected := !tells || b.Connected()
	if err := s.broker.Connect(ctx); err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	s.owned = !connected
	return nil
}

// isShared reports whether the server handles several types on a topic, where
// others are then to be expected.
func (s *Server) isShared(topic string) bool {
	types := make(map[string]bool)
	for _, r := range s.routes {
		if r.key.topic != topic {
			continue
		}
		for _, h := range r.handlers {
			types[h.spec.Type] = true
		}
	}
	return len(types) > 1
}

// deadLetter returns the dead-letter topic of a route. The default does not
// apply to a subscription of the dead letters themselves, which would feed
// itself.
func (s *Server) deadLetter(r *route) string {
	switch {
	case r.options.noDeadLetter:
		return ""
	case r.options.deadLetter != "":
		return s.options.mapTopic.of(r.options.deadLetter)
	}
	b, tells := s.broker.(interface{ DeclaresQueues() bool })
	topic := s.options.mapTopic.of(s.service + ".dead-letters")
	if !tells || !b.DeclaresQueues() || r.key.topic == topic {
		return ""
	}
	return topic
}

// Stop ends all subscriptions, lets running handlers finish until ctx ends, and
// then cancels them. What had not started goes back to its queue. It then
// disconnects the broker if Start connected it. The error lists what was cut
// short. On a server that does not run it does nothing.
//
// Called from a handler, with its context, it stops taking events, does not wait
// for that handler, and returns broker.ErrInHandler; Stop has then to be called
// again from outside.
func (s *Server) Stop(ctx context.Context) error {
	if err := s.acquire(ctx); err != nil {
		return fmt.Errorf("event: stop %s: %w", s.service, err)
	}
	defer s.unlock()
	if err := s.stop(ctx); err != nil {
		return fmt.Errorf("event: stop %s: %w", s.service, err)
	}
	return nil
}

func (s *Server) stop(ctx context.Context) error {
	s.serving.Store(false)
	err := s.end(ctx)
	if !errors.Is(err, broker.ErrInHandler) {
		s.live, s.owned, s.started = nil, false, false
	}
	return err
}

// end ends what is live. Disconnect drains all subscriptions itself, and keeps
// a part of the time for closing the connection properly; only in a handler it
// does nothing.
func (s *Server) end(ctx context.Context) error {
	if s.owned {
		if err := s.broker.Disconnect(ctx); !errors.Is(err, broker.ErrInHandler) {
			return err
		}
	}
	errs := make([]error, len(s.live))
	var unsubscribed sync.WaitGroup
	for i, sub := range s.live {
		unsubscribed.Go(func() { errs[i] = sub.Unsubscribe(ctx) })
	}
	unsubscribed.Wait()
	return errors.Join(errs...)
}

// acquire locks the server unless ctx ends first. A lock that is free is taken
// even then: stopping with a context that has ended cancels handlers at once.
func (s *Server) acquire(ctx context.Context) error {
	select {
	case s.lock <- struct{}{}:
		return nil
	default:
	}
	select {
	case s.lock <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (s *Server) unlock() { <-s.lock }
