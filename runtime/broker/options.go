package broker

import (
	"log/slog"
	"time"
)

// Defaults of the options.
const (
	DefaultMaxInFlight     = 1
	DefaultBackoffMin      = 100 * time.Millisecond
	DefaultBackoffMax      = 30 * time.Second
	DefaultMaxMessageBytes = 4 << 20
)

// Options are the options of a broker. Adapters add their own as parameters and
// options of their constructors.
type Options struct {
	// Logger receives what the hooks do not. Default: slog.Default().
	Logger *slog.Logger

	// Hooks observe the broker. Default: those that log to Logger.
	Hooks Hooks

	// MaxMessageBytes limits the body. Default: what the driver declares, 4 MiB
	// for memory and HTTP.
	MaxMessageBytes int

	driver []any // values for the driver's Configure
}

// Option sets an option of a broker.
type Option interface{ applyBroker(*Options) }

type option func(*Options)

func (f option) applyBroker(o *Options) { f(o) }

// DriverOption makes an option of an adapter. Its value reaches the driver's
// Configure; a broker whose driver does not know it fails with [ErrUnsupported],
// from Init, or from Connect when it was given to [New].
func DriverOption(v any) Option {
	return option(func(o *Options) { o.driver = append(o.driver, v) })
}

// WithLogger sets the logger. Default: slog.Default().
func WithLogger(l *slog.Logger) Option { return option(func(o *Options) { o.Logger = l }) }

// WithHooks sets the hooks. A hook that is nil logs to the logger.
func WithHooks(h Hooks) Option { return option(func(o *Options) { o.Hooks = h }) }

// MaxMessageBytes limits the body of a message to n bytes. Zero means the
// driver's default. A larger limit than the transport's is [ErrUnsupported] at
// Connect.
func MaxMessageBytes(n int) Option { return option(func(o *Options) { o.MaxMessageBytes = n }) }

// PublishOptions are the options of one Publish.
type PublishOptions struct {
	// NoWait fails with [ErrBackpressure] where Publish would wait for room.
	NoWait bool

	// AllowNoSubscribers makes a message that no queue would keep a success.
	AllowNoSubscribers bool
}

// PublishOption sets an option of one Publish.
type PublishOption interface{ applyPublish(*PublishOptions) }

type publishOption func(*PublishOptions)

func (f publishOption) applyPublish(o *PublishOptions) { f(o) }

// NewPublishOptions returns the defaults changed by opts. It is for those who
// implement [Broker] themselves.
func NewPublishOptions(opts ...PublishOption) PublishOptions {
	var o PublishOptions
	for _, opt := range opts {
		opt.applyPublish(&o)
	}
	return o
}

// NoWait makes Publish fail with [ErrBackpressure] instead of waiting for room.
func NoWait() PublishOption { return publishOption(func(o *PublishOptions) { o.NoWait = true }) }

// AllowNoSubscribers makes Publish return nil for a message that no queue would
// keep. Default: [ErrNoSubscribers], from brokers that know.
func AllowNoSubscribers() PublishOption {
	return publishOption(func(o *PublishOptions) { o.AllowNoSubscribers = true })
}

// SubscribeOptions are the options of one subscription.
type SubscribeOptions struct {
	// Queue is the name that members share to share messages. Empty: this
	// subscription alone gets its own copy of each message.
	Queue string

	// MaxInFlight is how many handlers run at once. Default 1.
	MaxInFlight int

	// Prefetch is how many messages more the subscription takes, to have the next one
	// at hand when a handler ends. Default 0, or more where the transport needs it;
	// see [Prefetch].
	Prefetch int

	// Window is how many messages the subscription holds at most, running, at hand,
	// waiting behind their key, and waiting for a retry. Default max(64, 4 x
	// MaxInFlight, MaxInFlight + Prefetch).
	Window int

	// MaxAttempts is the number of failed attempts after which a message is
	// dead-lettered, or dropped when DropExhausted is set. 0: unlimited.
	MaxAttempts int

	// DropExhausted says that messages that exhausted MaxAttempts are dropped
	// where there is no dead letter. [DropAfter] sets it.
	DropExhausted bool

	// DeadLetter is the topic that poison is published to. Empty: none.
	DeadLetter string

	// MaxDeliveries bounds the transport's own count of deliveries. 0: unlimited.
	MaxDeliveries int

	// BackoffMin and BackoffMax bound the exponential backoff between attempts.
	// Defaults 100 ms and 30 s.
	BackoffMin, BackoffMax time.Duration
}

// SubscribeOption sets an option of one subscription.
type SubscribeOption interface{ applySubscribe(*SubscribeOptions) }

type subscribeOption func(*SubscribeOptions)

func (f subscribeOption) applySubscribe(o *SubscribeOptions) { f(o) }

// NewSubscribeOptions returns the defaults changed by opts. It is for those who
// implement [Broker] themselves.
func NewSubscribeOptions(opts ...SubscribeOption) SubscribeOptions {
	o := SubscribeOptions{
		MaxInFlight: DefaultMaxInFlight,
		BackoffMin:  DefaultBackoffMin,
		BackoffMax:  DefaultBackoffMax,
	}
	for _, opt := range opts {
		opt.applySubscribe(&o)
	}
	if o.Window == 0 {
		o.Window = max(64, 4*o.MaxInFlight, o.MaxInFlight+o.Prefetch)
	}
	return o
}

// Queue makes the subscription a member of a queue: each message goes to one of
// its members, and a named queue keeps messages while it has none. Different
// queues each get every message. Default: no queue, so this subscription alone
// gets its own copy of each message (broadcast).
func Queue(name string) SubscribeOption {
	return subscribeOption(func(o *SubscribeOptions) { o.Queue = name })
}

// MaxInFlight lets up to n handlers run at once. Default 1. Messages with the
// same key never overlap and never reorder; other keys go ahead.
func MaxInFlight(n int) SubscribeOption {
	return subscribeOption(func(o *SubscribeOptions) { o.MaxInFlight = n })
}

// Prefetch lets the subscription take up to n messages more than it handles, within
// its window, so that the next one is at hand when a handler ends. Where each fetch is
// a round trip to a server (JetStream, RabbitMQ, Redis) a handler that runs alone is
// many times faster with it. The price: no other member of the queue gets what was
// taken, however long the handler takes. So use it for handlers that are quick, and
// that [MaxInFlight] cannot help because they must run one after the other.
//
// What was taken and not started goes back uncounted when the subscription ends, and
// is delivered again when its process dies. Default 0; with Kafka, where what lies in a
// partition is for one member anyway, 128 as far as the window allows.
func Prefetch(n int) SubscribeOption {
	return subscribeOption(func(o *SubscribeOptions) { o.Prefetch = n })
}

// Window sets how many messages the subscription holds at most: running, at hand,
// waiting behind their key, waiting for a retry. Default max(64, 4 x MaxInFlight,
// MaxInFlight + Prefetch). When it is full the subscription takes no more.
func Window(n int) SubscribeOption {
	return subscribeOption(func(o *SubscribeOptions) { o.Window = n })
}

// MaxAttempts gives up after n failed attempts and dead-letters the message. It
// needs [DeadLetter]: without one Subscribe fails. Default: unlimited.
func MaxAttempts(n int) SubscribeOption {
	return subscribeOption(func(o *SubscribeOptions) { o.MaxAttempts = n })
}

// DropAfter gives up after n failed attempts, and drops the message by name
// (hook, error log) where there is no dead letter.
func DropAfter(n int) SubscribeOption {
	return subscribeOption(func(o *SubscribeOptions) { o.MaxAttempts, o.DropExhausted = n, true })
}

// DeadLetter publishes poison to a topic: messages that failed permanently or
// too often. Subscribe declares the queue [DeadLetterQueue] on it, so that they
// are kept. Default: none; poison is then dropped by name (hook, error log).
func DeadLetter(topic string) SubscribeOption {
	return subscribeOption(func(o *SubscribeOptions) { o.DeadLetter = topic })
}

// MaxDeliveries bounds the transport's own count of deliveries, where it has
// one: over it a message is dead-lettered without calling the handler, so that
// a message that kills its process cannot do so for ever. Give-backs of a drain
// count too, so set it generously. Default: unlimited.
func MaxDeliveries(n int) SubscribeOption {
	return subscribeOption(func(o *SubscribeOptions) { o.MaxDeliveries = n })
}

// Backoff bounds the exponential backoff between attempts, which doubles from
// lowest to highest with jitter. Defaults 100 ms and 30 s.
func Backoff(lowest, highest time.Duration) SubscribeOption {
	return subscribeOption(func(o *SubscribeOptions) { o.BackoffMin, o.BackoffMax = lowest, highest })
}
