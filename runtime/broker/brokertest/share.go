package brokertest

import (
	"context"
	"sync"

	"github.com/micro-event/micro-event/runtime/broker"
)

// Share turns a driver that lives in this process, and that one broker would
// close for all, into storage that several brokers connect to as processes
// connect to a server. Each call of the result is a driver for one more broker.
// D is closed when the last of them is, and Publish of a closed connection
// returns [broker.ErrClosed]. Of the optional abilities of drivers only
// [broker.Configurer] is passed on.
func Share(d broker.Driver) func() broker.Driver {
	s := &shared{Driver: d}
	return func() broker.Driver { return &connection{shared: s} }
}

// shared is the driver that connections share.
type shared struct {
	broker.Driver

	mu    sync.Mutex
	users int
}

// connection is one of several users of a driver.
type connection struct {
	*shared
	life context.Context //nolint:containedctx // it is the life of a connection
	end  context.CancelCauseFunc
}

// Configure implements [broker.Configurer].
func (c *connection) Configure(v any) error {
	if d, ok := c.Driver.(broker.Configurer); ok {
		return d.Configure(v)
	}
	return broker.ErrUnsupported
}

// Connect implements [broker.Driver].
func (c *connection) Connect(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.users == 0 {
		if err := c.Driver.Connect(ctx); err != nil {
			return err
		}
	}
	c.users++
	c.life, c.end = context.WithCancelCause(context.Background())
	return nil
}

// Publish implements [broker.Driver]. It ends when the connection does.
func (c *connection) Publish(ctx context.Context, topic string, r *broker.Record, o broker.PublishOptions) error {
	ctx, cancel := c.within(ctx)
	defer cancel()
	return c.Driver.Publish(ctx, topic, r, o)
}

// within returns a context that ends with the connection.
func (c *connection) within(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	c.mu.Lock()
	life := c.life
	c.mu.Unlock()
	stop := context.AfterFunc(life, func() { cancel(broker.ErrClosed) })
	return ctx, func() {
		stop()
		cancel(nil)
	}
}

// Close implements [broker.Driver].
func (c *connection) Close(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.end(broker.ErrClosed)
	if c.users--; c.users == 0 {
		return c.Driver.Close(ctx)
	}
	return nil
}
