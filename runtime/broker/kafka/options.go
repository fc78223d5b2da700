package kafkabroker

import (
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/micro-event/micro-event/runtime/broker"
)

// Defaults of the options.
const (
	DefaultClientID         = "micro-event"
	DefaultSessionTimeout   = 45 * time.Second
	DefaultRebalanceTimeout = time.Minute
	DefaultMaxBatchBytes    = 1_000_012
	DefaultMaxBufferedBytes = 64 << 20
)

// batchRoom is what a record batch of one message needs beside the body: the
// largest headers, those that the engine adds to dead letters, the key and the
// framing.
const batchRoom = 80_000

// config is what options set.
type config struct {
	clientID         string
	tls              *tls.Config
	sasl             sasl.Mechanism
	policy           Policy
	partitions       int32
	replicas         int16
	sessionTimeout   time.Duration
	rebalanceTimeout time.Duration
	maxBatchBytes    int32
	maxBufferedBytes int64
}

func defaultConfig() config {
	return config{
		clientID:         DefaultClientID,
		partitions:       -1,
		replicas:         -1,
		sessionTimeout:   DefaultSessionTimeout,
		rebalanceTimeout: DefaultRebalanceTimeout,
		maxBatchBytes:    DefaultMaxBatchBytes,
		maxBufferedBytes: DefaultMaxBufferedBytes,
	}
}

// setting is the value of an option of this package.
type setting func(*config) error

func option(s setting) broker.Option { return broker.DriverOption(s) }

// TLS encrypts connections and overrides what the scheme of the URL says. A nil
// config is the default one. Default: TLS with the system's roots for kafkas://,
// none for kafka://.
func TLS(c *tls.Config) broker.Option {
	return option(func(cfg *config) error {
		if cfg.tls = c; c == nil {
			cfg.tls = new(tls.Config)
		}
		return nil
	})
}

// Plain authenticates by SASL PLAIN, which sends the password as it is: use it
// with TLS. Default: what the URL says.
func Plain(user, password string) broker.Option {
	return option(func(cfg *config) error {
		cfg.sasl = plain.Auth{User: user, Pass: password}.AsMechanism()
		return nil
	})
}

// ScramSHA256 authenticates by SASL SCRAM-SHA-256. Default: what the URL says.
func ScramSHA256(user, password string) broker.Option {
	return option(func(cfg *config) error {
		cfg.sasl = scram.Auth{User: user, Pass: password}.AsSha256Mechanism()
		return nil
	})
}

// ScramSHA512 authenticates by SASL SCRAM-SHA-512. Default: what the URL says.
func ScramSHA512(user, password string) broker.Option {
	return option(func(cfg *config) error {
		cfg.sasl = scram.Auth{User: user, Pass: password}.AsSha512Mechanism()
		return nil
	})
}

// ClientID is what this program calls itself in the servers' logs, metrics and
// quotas. Default [DefaultClientID].
func ClientID(id string) broker.Option {
	return option(func(cfg *config) error {
		cfg.clientID = id
		return nil
	})
}

// Policy says what becomes of topics that do not exist.
type Policy uint8

const (
	// Auto creates the topics that Subscribe and DeclareQueue need.
	Auto Policy = iota

	// Verify creates nothing: Subscribe and DeclareQueue fail when the topic does
	// not exist.
	Verify

	// Off creates nothing and asks for nothing: Subscribe waits for a topic that
	// does not exist, and then reads it from its start.
	Off
)

// Provision sets what becomes of topics that do not exist. Default [Auto].
func Provision(p Policy) broker.Option {
	return option(func(cfg *config) error {
		if p > Off {
			return fmt.Errorf("policy is %d, want Auto, Verify or Off", p)
		}
		cfg.policy = p
		return nil
	})
}

// NewTopics sets how many partitions, and how many replicas of each, a topic has
// that this program creates. -1 is the servers' default, and the default here.
func NewTopics(partitions int32, replicas int16) broker.Option {
	return option(func(cfg *config) error {
		if partitions < -1 || partitions == 0 || replicas < -1 || replicas == 0 {
			return fmt.Errorf("new topics have %d partitions and %d replicas, want 1 or more, or -1", partitions, replicas)
		}
		cfg.partitions, cfg.replicas = partitions, replicas
		return nil
	})
}

// SessionTimeout sets how long a member of a queue may be silent before its
// partitions go to others; a fifteenth of it is the heartbeat. The servers bound
// it, from 6 seconds by default. Default [DefaultSessionTimeout].
func SessionTimeout(d time.Duration) broker.Option {
	return option(func(cfg *config) error {
		if d < 15*time.Millisecond {
			return fmt.Errorf("session timeout is %v, want at least 15ms", d)
		}
		cfg.sessionTimeout = d
		return nil
	})
}

// RebalanceTimeout sets how long partitions that move to another member wait for
// the handlers that run. A handler that takes longer may overlap with the next
// delivery of its message. Default [DefaultRebalanceTimeout].
func RebalanceTimeout(d time.Duration) broker.Option {
	return option(func(cfg *config) error {
		if d < time.Second {
			return fmt.Errorf("rebalance timeout is %v, want at least 1s", d)
		}
		cfg.rebalanceTimeout = d
		return nil
	})
}

// MaxBatchBytes sets the largest batch of records that is sent, which must not be
// larger than max.message.bytes of any topic. The largest body is 80,000 bytes
// smaller, which leaves room for the headers. Default [DefaultMaxBatchBytes],
// that of Kafka.
func MaxBatchBytes(n int32) broker.Option {
	return option(func(cfg *config) error {
		if n <= batchRoom {
			return fmt.Errorf("largest batch is %d bytes, want more than %d", n, batchRoom)
		}
		cfg.maxBatchBytes = n
		return nil
	})
}

// MaxBufferedBytes sets how much unconfirmed messages may take before Publish
// waits, or fails with [broker.ErrBackpressure] when it may not. Default
// [DefaultMaxBufferedBytes].
func MaxBufferedBytes(n int64) broker.Option {
	return option(func(cfg *config) error {
		if n < 1 {
			return errors.New("buffer has no room, want at least 1 byte")
		}
		cfg.maxBufferedBytes = n
		return nil
	})
}
