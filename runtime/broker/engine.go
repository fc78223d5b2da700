package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
)

// Engine is the [Broker] of a [Driver]: the delivery contract, once for all
// transports. Make it with [New]. It may be used concurrently.
type Engine struct {
	driver Driver

	lifecycle chan struct{} // holds one; serializes Connect and Disconnect
	calls     gate          // of the driver; open from Connect to the end of a drain

	mu          sync.Mutex
	options     Options
	configErr   error // of an option given to New
	state       state
	linkErr     error // why the link is down, nil while it stands
	subscribers map[*subscription]struct{}

	settings atomic.Pointer[settings] // set by Connect
}

type state uint8

const (
	stateNew state = iota
	stateConnected
	stateDraining // subscriptions end, publishes still pass
	stateClosed
)

// settings is what options and driver come to while connected.
type settings struct {
	maxBytes int
	hooks    Hooks
	logger   *slog.Logger
	info     Info
}

var _ Broker = (*Engine)(nil)

// New returns the broker of d. An option that does not fit the driver is an
// error of Connect.
func New(d Driver, opts ...Option) *Engine {
	e := &Engine{driver: d, lifecycle: make(chan struct{}, 1), subscribers: make(map[*subscription]struct{})}
	e.configErr = e.apply(opts)
	if w, ok := d.(LinkWatcher); ok {
		w.WatchLink(e.linkChanged)
	}
	return e
}

// Init implements [Broker].
func (e *Engine) Init(opts ...Option) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.state == stateConnected || e.state == stateDraining {
		return fmt.Errorf("broker: init %s: %w while connected", e, ErrUnsupported)
	}
	return e.apply(opts)
}

func (e *Engine) apply(opts []Option) error {
	for _, opt := range opts {
		opt.applyBroker(&e.options)
	}
	values := e.options.driver
	e.options.driver = nil
	for _, v := range values {
		if err := e.configure(v); err != nil {
			return fmt.Errorf("broker: %s: option %T: %w", e, v, err)
		}
	}
	if e.options.MaxMessageBytes < 0 {
		return fmt.Errorf("broker: %s: MaxMessageBytes is %d, want 0 or more", e, e.options.MaxMessageBytes)
	}
	return nil
}

func (e *Engine) configure(v any) error {
	if c, ok := e.driver.(Configurer); ok {
		return c.Configure(v)
	}
	return ErrUnsupported
}

// Options implements [Broker].
func (e *Engine) Options() Options {
	e.mu.Lock()
	defer e.mu.Unlock()
	o := e.options
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	o.Hooks = o.Hooks.withDefaults(o.Logger)
	return o
}

// Address implements [Broker].
func (e *Engine) Address() string { return e.driver.Info().Address }

// String implements [Broker].
func (e *Engine) String() string { return e.driver.Info().Name }

// Info describes the transport.
func (e *Engine) Info() Info { return e.driver.Info() }

// Connected reports whether the broker is between Connect and Disconnect,
// whatever the state of its connection.
func (e *Engine) Connected() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.state == stateConnected
}

// notConnected returns why the broker cannot be used, or nil.
func (e *Engine) notConnected() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch e.state {
	case stateConnected:
		return nil
	case stateNew:
		return ErrNotConnected
	default:
		return ErrClosed
	}
}

// use lets a call of the driver in, which must then call Done, or says why the
// broker cannot be used.
func (e *Engine) use() (*passes, error) {
	if pass := e.calls.enter(); pass != nil {
		return pass, nil
	}
	if err := e.notConnected(); err != nil {
		return nil, err
	}
	return nil, ErrClosed // between the end of a drain and closing
}

// DeclaresQueues reports whether DeclareQueue works.
func (e *Engine) DeclaresQueues() bool { return e.driver.Info().Capabilities.DeclareQueue }

// DeclareQueue creates a queue of the topic without consuming from it, so that
// it keeps messages from now on. It is idempotent. Brokers without the
// capability DeclareQueue return [ErrUnsupported].
func (e *Engine) DeclareQueue(ctx context.Context, topic, queue string) error {
	err := e.declare(ctx, topic, queue)
	if err != nil {
		return fmt.Errorf("broker: declare queue %q of %q: %w", queue, topic, err)
	}
	return nil
}

func (e *Engine) declare(ctx context.Context, topic, queue string) error {
	if err := errors.Join(CheckTopic(topic), CheckTopic(queue)); err != nil {
		return err
	}
	pass, err := e.use()
	if err != nil {
		return err
	}
	defer pass.Done()
	if !e.DeclaresQueues() {
		return fmt.Errorf("%w by %s", ErrUnsupported, e)
	}
	return e.driver.Declare(ctx, topic, queue)
}

// Health returns nil while the broker is connected, its connection stands and,
// where the transport can be asked, answers within ctx.
func (e *Engine) Health(ctx context.Context) error {
	if err := e.healthFault(ctx); err != nil {
		return fmt.Errorf("broker: health of %s: %w", e, err)
	}
	return nil
}

func (e *Engine) healthFault(ctx context.Context) error {
	if err := e.notConnected(); err != nil {
		return err
	}
	e.mu.Lock()
	linkErr := e.linkErr
	e.mu.Unlock()
	if linkErr != nil {
		return fmt.Errorf("%w: %w", ErrNotConnected, linkErr)
	}
	if p, ok := e.driver.(Pinger); ok {
		return p.Ping(ctx)
	}
	return nil
}

// linkChanged is told by the driver that the connection was lost, or stands
// again when lost is nil.
func (e *Engine) linkChanged(lost error) {
	e.mu.Lock()
	was, use := e.linkErr, e.state == stateConnected || e.state == stateDraining
	e.linkErr = lost
	e.mu.Unlock()
	switch {
	case !use:
	case lost != nil && was == nil:
		e.settings.Load().hooks.Lost(e.Address(), lost)
	case lost == nil && was != nil:
		e.settings.Load().hooks.Connected(e.Address(), true)
	}
}
