package httpbroker

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"github.com/micro-event/micro-event/runtime/broker"
)

// Defaults of the options.
const (
	DefaultListen         = "127.0.0.1:0"
	DefaultCapacity       = 1024
	DefaultBacklog        = 10_000
	DefaultBacklogBytes   = 64 << 20
	DefaultHeldBytes      = 64 << 20
	DefaultMaxConnections = 1024
)

const (
	// frameOverhead is what a request may have beside its one largest body.
	frameOverhead = 256 << 10

	maxRequests = 1024
)

// options are what the options of this package set.
type options struct {
	level          Level
	listen         string
	allowPlaintext bool
	allowAnonymous bool
	transport      transport // nil: plain text
	bearer         *bearer
	signer         *signer
	authorize      func(context.Context, Access) error
	ingress        bool
	mounted        string // address at which others reach the handler
	namespace      string
	registry       Registry
	required       map[string][]string // queues by topic
	allowed        []netip.Prefix
	capacity       int
	backlog        int
	backlogBytes   int64
	flushTimeout   time.Duration
	maxRequests    int
	maxConnections int
	maxBody        int
	maxHeldBytes   int64
	log            *slog.Logger
}

func defaultOptions() options {
	return options{
		listen:         DefaultListen,
		namespace:      DefaultNamespace,
		capacity:       DefaultCapacity,
		backlog:        DefaultBacklog,
		backlogBytes:   DefaultBacklogBytes,
		flushTimeout:   publishTimeout,
		maxRequests:    maxRequests,
		maxConnections: DefaultMaxConnections,
		maxBody:        broker.DefaultMaxMessageBytes,
		maxHeldBytes:   DefaultHeldBytes,
	}
}

// maxRequestBytes is room for the largest body, or for many small ones.
func (o *options) maxRequestBytes() int64 {
	return int64(max(o.maxBody, maxBatchBytes)) + frameOverhead
}

func (o *options) logger() *slog.Logger {
	if o.log != nil {
		return o.log
	}
	return slog.Default()
}

// setting is the value of an option of this package.
type setting func(*options) error

func newOption(set setting) broker.Option { return broker.DriverOption(set) }

// PublishLevel sets what nil from Publish means. Default [Handled].
func PublishLevel(l Level) broker.Option {
	return newOption(func(o *options) error {
		if l != Handled && l != Accepted {
			return fmt.Errorf("PublishLevel: unknown %v", l)
		}
		o.level = l
		return nil
	})
}

// Listen sets the address to listen on, host:port. Default 127.0.0.1 and a port
// that the system chooses. For an address that other machines can reach Connect wants
// encryption and authentication: [TLSFiles], or [TLS] with [Bearer] or [HMAC];
// [AllowPlaintext] and [AllowAnonymous] waive one each. Host must then be an address
// of this machine that the others can use; it is what they are told.
func Listen(address string) broker.Option {
	return newOption(func(o *options) error {
		o.listen = address
		return nil
	})
}

// Mounted says that [Driver].Handler is served by a server of the user's own,
// which others reach at address, host:port. The broker then does not listen. What
// [Listen] says of addresses that other machines can reach holds; for mutual TLS that
// server has to ask for certificates and verify them.
func Mounted(address string) broker.Option {
	return newOption(func(o *options) error {
		o.mounted = address
		return checkAddress(address)
	})
}

// Namespace separates the brokers of one user on one machine: only those with
// the same namespace find each other. Default [DefaultNamespace]. It has no
// effect with [WithRegistry].
func Namespace(name string) broker.Option {
	return newOption(func(o *options) error {
		o.namespace = name
		return broker.CheckTopic(name)
	})
}

// WithRegistry sets where brokers find each other. Default: a directory of this
// machine, see [DirectoryRegistry].
func WithRegistry(r Registry) broker.Option {
	return newOption(func(o *options) error {
		o.registry = r
		return nil
	})
}

// RequireQueues names queues of a topic that Publish waits for even when the
// registry does not know them, as one that was told nothing or has forgotten.
func RequireQueues(topic string, queues ...string) broker.Option {
	return newOption(func(o *options) error {
		for _, name := range append([]string{topic}, queues...) {
			if err := broker.CheckTopic(name); err != nil {
				return err
			}
		}
		if o.required == nil {
			o.required = make(map[string][]string)
		}
		o.required[topic] = append(o.required[topic], queues...)
		return nil
	})
}

// AllowPeers restricts the addresses that messages are sent to. Default: all but
// link-local, multicast and unspecified ones, which are refused in any case.
func AllowPeers(prefixes ...netip.Prefix) broker.Option {
	return newOption(func(o *options) error {
		o.allowed = append(o.allowed, prefixes...)
		return nil
	})
}

// Capacity sets how many messages a subscription holds that were not settled
// yet. When it is full, publishers wait. Default [DefaultCapacity].
func Capacity(n int) broker.Option {
	return newOption(func(o *options) error {
		o.capacity = n
		return positive("Capacity", n)
	})
}

// Backlog bounds what this broker keeps for queues without a member: at level
// Accepted the messages themselves, at level Handled the calls of Publish that
// wait. Defaults [DefaultBacklog] and [DefaultBacklogBytes]. Beyond that Publish
// waits for room at level Accepted, and fails with [broker.ErrBackpressure] at
// level Handled.
func Backlog(messages int, bytes int64) broker.Option {
	return newOption(func(o *options) error {
		o.backlog, o.backlogBytes = messages, bytes
		return positive("Backlog", min(messages, int(min(bytes, 1<<30))))
	})
}

// FlushTimeout bounds how long Disconnect waits at level Accepted for members of
// queues that messages are kept for. Its context bounds that too. Default 30 s.
// What is left then is [ErrLost].
func FlushTimeout(d time.Duration) broker.Option {
	return newOption(func(o *options) error {
		o.flushTimeout = d
		return nil
	})
}

// MaxBody sets the largest body that this broker takes, in bytes. Default 4 MiB.
// [broker.MaxMessageBytes], which bounds what is published, may not exceed it.
func MaxBody(n int) broker.Option {
	return newOption(func(o *options) error {
		o.maxBody = n
		return positive("MaxBody", n)
	})
}

// HeldBytes bounds the memory of requests that arrived and whose messages are not
// all settled. Publishers wait beyond it. Default [DefaultHeldBytes].
func HeldBytes(n int64) broker.Option {
	return newOption(func(o *options) error {
		o.maxHeldBytes = n
		return positive("HeldBytes", int(min(n, 1<<30)))
	})
}

// MaxConnections bounds the connections that the broker's own server keeps open.
// Default [DefaultMaxConnections].
func MaxConnections(n int) broker.Option {
	return newOption(func(o *options) error {
		o.maxConnections = n
		return positive("MaxConnections", n)
	})
}

// Log sets the logger of what the transport itself has to say, which is little.
// Default: slog.Default().
func Log(l *slog.Logger) broker.Option {
	return newOption(func(o *options) error {
		o.log = l
		return nil
	})
}

func positive(name string, n int) error {
	if n < 1 {
		return fmt.Errorf("%s is %d, want at least 1", name, n)
	}
	return nil
}
