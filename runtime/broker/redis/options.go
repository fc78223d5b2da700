package redisbroker

import (
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"github.com/redis/rueidis"

	"github.com/micro-event/micro-event/runtime/broker"
)

// Defaults of the options.
const (
	DefaultAckWait           = 30 * time.Second
	DefaultInactiveThreshold = 5 * time.Minute
)

// config is what the options come to.
type config struct {
	ackWait  time.Duration
	inactive time.Duration
	tls      *tls.Config
	change   []func(*rueidis.ClientOption)
}

func defaultConfig() config {
	return config{ackWait: DefaultAckWait, inactive: DefaultInactiveThreshold}
}

func (c *config) validate() error {
	return errors.Join(
		atLeastASecond("AckWait", c.ackWait),
		atLeastASecond("InactiveThreshold", c.inactive),
	)
}

func atLeastASecond(option string, got time.Duration) error {
	if got < time.Second {
		return fmt.Errorf("option %s: got %v, want at least 1s", option, got)
	}
	return nil
}

// setting is an option as the driver gets it.
type setting func(*config)

func option(set setting) broker.Option { return broker.DriverOption(set) }

// AckWait is how long a member may be silent before others take over what it holds.
// A living one says so every third of it. At least 1 s. Default [DefaultAckWait].
func AckWait(d time.Duration) broker.Option { return option(func(c *config) { c.ackWait = d }) }

// InactiveThreshold is how long the group of a subscription without a queue stays
// when its process is gone; reconnections within it lose nothing. At least 1 s.
// Default [DefaultInactiveThreshold].
func InactiveThreshold(d time.Duration) broker.Option {
	return option(func(c *config) { c.inactive = d })
}

// TLS connects by TLS with t, also where the URL does not say so. Default: TLS with
// the system's roots for rediss:// URLs, none for redis:// ones.
func TLS(t *tls.Config) broker.Option { return option(func(c *config) { c.tls = t }) }

// ClientOptions changes the options of the client library, such as its credentials,
// Sentinel or a cluster (ForceSingleClient is true by default). What delivery rests
// on (retries, caching) is set by this package afterwards.
func ClientOptions(change func(*rueidis.ClientOption)) broker.Option {
	return option(func(c *config) { c.change = append(c.change, change) })
}
