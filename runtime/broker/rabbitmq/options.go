package rabbitmqbroker

import (
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"github.com/micro-event/micro-event/runtime/broker"
)

// Defaults of the options.
const (
	DefaultExchange          = "micro-event"
	DefaultInactiveThreshold = 5 * time.Minute
	DefaultPublishWindow     = 1024
)

// config is what the options come to.
type config struct {
	exchange string
	inactive time.Duration
	window   int
	tls      *tls.Config

	// How long the server may take, at most; no options.
	dialTimeout    time.Duration // to make a session
	callTimeout    time.Duration // to answer
	confirmTimeout time.Duration // to confirm a message
}

func defaultConfig() config {
	return config{
		exchange: DefaultExchange, inactive: DefaultInactiveThreshold, window: DefaultPublishWindow,
		dialTimeout: 10 * time.Second, callTimeout: 10 * time.Second, confirmTimeout: 30 * time.Second,
	}
}

func (c *config) validate() error {
	var errs []error
	if n := len(c.exchange); n == 0 || n > maxNameBytes {
		errs = append(errs, fmt.Errorf("option Exchange: the name has %d bytes, want 1 to %d", n, maxNameBytes))
	}
	if c.inactive < time.Second {
		errs = append(errs, fmt.Errorf("option InactiveThreshold: got %v, want at least 1s", c.inactive))
	}
	if c.window < 1 {
		errs = append(errs, fmt.Errorf("option PublishWindow: got %d, want at least 1", c.window))
	}
	return errors.Join(errs...)
}

// setting is an option as the driver gets it.
type setting func(*config)

func option(set setting) broker.Option { return broker.DriverOption(set) }

// Exchange names the topic exchange, which is made when it does not exist. Default
// [DefaultExchange].
func Exchange(name string) broker.Option { return option(func(c *config) { c.exchange = name }) }

// InactiveThreshold is how long the queue of a subscription without a queue stays
// when its process is gone; reconnections within it lose nothing. At least 1 s.
// Default [DefaultInactiveThreshold].
func InactiveThreshold(d time.Duration) broker.Option {
	return option(func(c *config) { c.inactive = d })
}

// PublishWindow is how many messages may wait for the server's confirmation; Publish
// waits for room. Default [DefaultPublishWindow].
func PublishWindow(n int) broker.Option { return option(func(c *config) { c.window = n }) }

// TLS is the configuration of TLS, which is then spoken with amqp:// URLs too: they
// mean the same as amqps:// ones, and so port 5671 when they name none. It stands in
// for what the URL says about certificates. Default: TLS with amqps:// URLs only, and
// the system's roots.
func TLS(t *tls.Config) broker.Option { return option(func(c *config) { c.tls = t }) }
