package natsbroker

import (
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/micro-event/micro-event/runtime/broker"
)

// Defaults of the options.
const (
	DefaultAckWait           = 30 * time.Second
	DefaultInactiveThreshold = 5 * time.Minute
	DefaultPublishWindow     = 1024
)

// Policy says what the broker may do with streams and consumers.
type Policy uint8

const (
	// Auto creates what is missing: a stream for a topic that no stream takes, and
	// a durable consumer per queue. What it did not create it uses as it is. This
	// is the default.
	Auto Policy = iota

	// Verify creates nothing that stays: Subscribe and DeclareQueue fail when the
	// stream or the durable is missing or cannot keep the contract. Consumers of
	// subscriptions without a queue are created; they end by themselves.
	Verify

	// Off is Verify without looking: DeclareQueue does nothing, and a durable that
	// is missing shows when the subscription receives. It is for accounts that may
	// not ask.
	Off
)

// config is what the options come to.
type config struct {
	core      bool
	policy    Policy
	ackWait   time.Duration
	inactive  time.Duration
	window    int
	dedup     bool
	stream    jetstream.StreamConfig
	tls       *tls.Config
	auth      []nats.Option
	authErr   error
	connector []nats.Option
}

func defaultConfig() config {
	return config{
		ackWait:  DefaultAckWait,
		inactive: DefaultInactiveThreshold,
		window:   DefaultPublishWindow,
		stream:   jetstream.StreamConfig{Retention: jetstream.InterestPolicy, Discard: jetstream.DiscardNew},
	}
}

func (c *config) validate() error {
	return errors.Join(
		c.authErr,
		atLeast("AckWait", c.ackWait, time.Second),
		atLeast("InactiveThreshold", c.inactive, time.Second),
		atLeast("PublishWindow", c.window, 1),
	)
}

func atLeast[T int | time.Duration](option string, got, least T) error {
	if got < least {
		return fmt.Errorf("option %s: got %v, want at least %v", option, got, least)
	}
	return nil
}

// setting is an option as the driver gets it.
type setting func(*config)

func option(set setting) broker.Option { return broker.DriverOption(set) }

// Core publishes and subscribes without JetStream: at most once, nothing is
// kept, and what is sent while nobody listens is lost. Default: JetStream.
func Core() broker.Option { return option(func(c *config) { c.core = true }) }

// TLS connects by TLS with t, also where the URL does not say so. Default: TLS
// with the system's roots for tls:// URLs, none for nats:// ones.
func TLS(t *tls.Config) broker.Option { return option(func(c *config) { c.tls = t }) }

// Token authenticates with a token. A user and a password, or a token, may also
// stand in the URL.
func Token(token string) broker.Option {
	return option(func(c *config) { c.auth = append(c.auth, nats.Token(token)) })
}

// NKeyFile authenticates with the seed of an nkey that is read from a file.
func NKeyFile(path string) broker.Option {
	return option(func(c *config) {
		o, err := nats.NkeyOptionFromSeed(path)
		if err != nil {
			c.authErr = fmt.Errorf("option NKeyFile: %w", err)
			return
		}
		c.auth = append(c.auth, o)
	})
}

// CredentialsFile authenticates with the JWT and the seed of a .creds file,
// which is read at each connection.
func CredentialsFile(path string) broker.Option {
	return option(func(c *config) { c.auth = append(c.auth, nats.UserCredentials(path)) })
}

// Provision sets what the broker may do with streams and consumers. Default
// [Auto].
func Provision(p Policy) broker.Option { return option(func(c *config) { c.policy = p }) }

// Stream is the template of the streams that [Auto] creates; name, subjects and
// the metadata that marks them as this package's are set for each. Default: kept
// on disk once, interest retention (a message is deleted when every queue has
// handled it), no limits, and a full stream refuses new messages. With limits
// and [jetstream.DiscardOld] a stream drops what nobody has handled yet.
func Stream(template jetstream.StreamConfig) broker.Option {
	return option(func(c *config) { c.stream = template })
}

// AckWait is how long the server waits for a message to be settled before it
// delivers it again; what a living subscription holds is extended. At least 1 s.
// A durable of this package with a shorter one is changed to it. Default
// [DefaultAckWait].
func AckWait(d time.Duration) broker.Option { return option(func(c *config) { c.ackWait = d }) }

// InactiveThreshold is how long the consumer of a subscription without a queue
// stays when its process is gone; reconnections within it lose nothing. At least
// 1 s. Default [DefaultInactiveThreshold].
func InactiveThreshold(d time.Duration) broker.Option {
	return option(func(c *config) { c.inactive = d })
}

// PublishWindow is how many messages may wait for the server's confirmation;
// Publish waits for room. Default [DefaultPublishWindow].
func PublishWindow(n int) broker.Option { return option(func(c *config) { c.window = n }) }

// Deduplicate lets the server drop a message whose headers ce-source and ce-id,
// and topic, it has seen within the stream's duplicate window (2 minutes by
// default), so that a publish that ended in [broker.ErrUncertain] can be repeated
// without effect. Dead letters and redriven messages are never dropped. Default:
// off, since programs may mean to send the same event twice.
func Deduplicate() broker.Option { return option(func(c *config) { c.dedup = true }) }

// ConnOptions adds options of the client library. Those that this package sets
// itself (handlers of errors and of the connection's state, reconnection) win.
func ConnOptions(opts ...nats.Option) broker.Option {
	return option(func(c *config) { c.connector = append(c.connector, opts...) })
}
