package event

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/micro-event/micro-event/runtime/broker"
)

// SubscribeOption sets an option of one subscription.
type SubscribeOption interface{ applySubscribe(*subscribeOptions) }

type subscribeOption func(*subscribeOptions)

func (f subscribeOption) applySubscribe(o *subscribeOptions) { f(o) }

// Topic subscribes to the topic name instead of the one in the schema, before any
// [MapTopics]: for topics that are known only when the program runs. Publishers
// use [WithTopic].
func Topic(name string) SubscribeOption {
	return subscribeOption(func(o *subscribeOptions) { o.topic = name })
}

// Queue makes the subscription a member of the queue name instead of the
// service's. Members of a queue share its events; each queue gets all of them.
// The name follows the grammar of topics. Default: the name of the service.
func Queue(name string) SubscribeOption {
	return subscribeOption(func(o *subscribeOptions) {
		o.queue = name
		o.fault("queue", broker.CheckTopic(name))
	})
}

// Broadcast makes each running server get its own copy of every event that is
// published while it runs, for caches and the like. Default: the replicas of a
// service share events.
func Broadcast() SubscribeOption {
	return subscribeOption(func(o *subscribeOptions) { o.queue = "" })
}

// Concurrency lets n handlers run at once. Default 1. Events with the same key
// never overlap and never reorder. With JetStream, RabbitMQ and Redis n is also how
// many events travel together: with 1 each costs a round trip to the server. Where
// handlers must run one after the other, [Prefetch] helps.
func Concurrency(n int) SubscribeOption {
	return subscribeOption(func(o *subscribeOptions) { o.maxInFlight = o.positive("concurrency", n) })
}

// Prefetch takes up to n events more than are handled, so that the next one is at hand
// when a handler ends. Another member of the queue cannot have them meanwhile; see
// broker.Prefetch, also for the default, which is 0 as a rule.
func Prefetch(n int) SubscribeOption {
	return subscribeOption(func(o *subscribeOptions) { o.prefetch = o.positive("prefetch", n) })
}

// Window limits how many events the subscription holds at once: running, at hand,
// waiting behind their key, waiting for a retry. Default: see broker.Window.
func Window(n int) SubscribeOption {
	return subscribeOption(func(o *subscribeOptions) { o.window = o.positive("window", n) })
}

// MaxAttempts dead-letters an event after n failed attempts. Where there is no
// dead letter the server does not start; see [DropAfter]. Default: an event is
// retried until it succeeds or fails permanently.
func MaxAttempts(n int) SubscribeOption {
	return subscribeOption(func(o *subscribeOptions) {
		o.maxAttempts, o.drop = o.positive("max attempts", n), false
	})
}

// DropAfter is [MaxAttempts] that also drops the event, by name, where there is
// no dead letter. With [NoDeadLetter] it always drops.
func DropAfter(n int) SubscribeOption {
	return subscribeOption(func(o *subscribeOptions) {
		o.maxAttempts, o.drop = o.positive("drop after", n), true
	})
}

// MaxDeliveries bounds the broker's own count of deliveries, where it has one,
// so that an event that kills its process cannot do so for ever. Give-backs of a
// drain count too, so set it generously. Default: unlimited.
func MaxDeliveries(n int) SubscribeOption {
	return subscribeOption(func(o *subscribeOptions) { o.maxDeliveries = o.positive("max deliveries", n) })
}

// DeadLetter sets the topic for events that failed permanently or too often.
// Default: "<service>.dead-letters" where the broker can keep a queue that
// nobody reads yet, none elsewhere.
func DeadLetter(topic string) SubscribeOption {
	return subscribeOption(func(o *subscribeOptions) {
		o.deadLetter, o.noDeadLetter = topic, false
		o.fault("dead letter", broker.CheckTopic(topic))
	})
}

// NoDeadLetter gives poison up, by name, instead of keeping it on a dead-letter
// topic.
func NoDeadLetter() SubscribeOption {
	return subscribeOption(func(o *subscribeOptions) { o.deadLetter, o.noDeadLetter = "", true })
}

// Backoff bounds the exponential backoff between attempts, which doubles from
// lowest to highest with jitter. Defaults 100 ms and 30 s.
func Backoff(lowest, highest time.Duration) SubscribeOption {
	return subscribeOption(func(o *subscribeOptions) {
		o.backoffMin, o.backoffMax = lowest, highest
		if lowest <= 0 || highest < lowest {
			o.fault("backoff", fmt.Errorf("%v to %v is not a range of positive durations", lowest, highest))
		}
	})
}

// AcceptRaw takes messages without an event type for this event: those that were
// published through a Broker, by a program that knows nothing of events. They
// must have the content type, or none. At most one event of a topic and queue
// can have it. Default: such messages fail permanently with [ErrNotEvent].
//
// Events of go-micro do not need it, except where several types are handled on
// the topic and queue: then it says which of them they are.
func AcceptRaw(contentType string) SubscribeOption {
	return subscribeOption(func(o *subscribeOptions) {
		c, err := codecOf(contentType)
		o.raw = c
		o.fault("accept raw", err)
	})
}

// IgnoreUnknownTypes acknowledges events of types that the topic and queue have
// no handler for. It is the default when the server handles several types on
// the topic, on whatever queues.
func IgnoreUnknownTypes() SubscribeOption {
	return subscribeOption(func(o *subscribeOptions) { o.unknown = ignoreUnknown })
}

// RejectUnknownTypes makes events of types that the topic and queue have no
// handler for fail permanently with [ErrType]. It is the default when the server
// handles only one type on the topic.
func RejectUnknownTypes() SubscribeOption {
	return subscribeOption(func(o *subscribeOptions) { o.unknown = rejectUnknown })
}

// subscribeOptions are the options of one call of Subscribe.
type subscribeOptions struct {
	routeOptions
	topic string
	wrap  []HandleInterceptor
	queue string // empty: broadcast
	raw   Codec  // empty: messages without a type are refused
	errs  []error
}

// routeOptions are those that hold for a topic and queue as a whole.
type routeOptions struct {
	maxInFlight, prefetch  int
	window                 int // 0: the broker's default, as in all that follow
	maxAttempts            int
	drop                   bool
	maxDeliveries          int
	deadLetter             string
	noDeadLetter           bool
	backoffMin, backoffMax time.Duration
	unknown                unknownPolicy
}

type unknownPolicy string

const (
	ignoreUnknown unknownPolicy = "ignored"
	rejectUnknown unknownPolicy = "rejected"
)

func newSubscribeOptions(service, topic string, opts []SubscribeOption) *subscribeOptions {
	o := &subscribeOptions{queue: service, topic: topic}
	o.maxInFlight = broker.DefaultMaxInFlight
	o.backoffMin, o.backoffMax = broker.DefaultBackoffMin, broker.DefaultBackoffMax
	for _, opt := range opts {
		opt.applySubscribe(o)
	}
	return o
}

func (o *subscribeOptions) check() error {
	return errors.Join(append(o.errs, checkInterceptors(o.wrap))...)
}

func (o *subscribeOptions) fault(option string, err error) {
	if err != nil {
		o.errs = append(o.errs, fmt.Errorf("%s: %w", option, err))
	}
}

func (o *subscribeOptions) positive(option string, n int) int {
	if n < 1 {
		o.fault(option, fmt.Errorf("%d is less than 1", n))
	}
	return n
}

// brokerOptions returns the options of the broker's subscription.
func (o *routeOptions) brokerOptions(queue, deadLetter string) []broker.SubscribeOption {
	opts := []broker.SubscribeOption{
		broker.Queue(queue),
		broker.MaxInFlight(o.maxInFlight),
		broker.Prefetch(o.prefetch),
		broker.Backoff(o.backoffMin, o.backoffMax),
		broker.DeadLetter(deadLetter),
	}
	if o.window > 0 {
		opts = append(opts, broker.Window(o.window))
	}
	if o.maxDeliveries > 0 {
		opts = append(opts, broker.MaxDeliveries(o.maxDeliveries))
	}
	switch {
	case o.drop:
		opts = append(opts, broker.DropAfter(o.maxAttempts))
	case o.maxAttempts > 0:
		opts = append(opts, broker.MaxAttempts(o.maxAttempts))
	}
	return opts
}

// differences names the options in which o and p differ, with o's value first.
func (o *routeOptions) differences(p *routeOptions) string {
	var all []string
	compare := func(name string, a, b any) {
		if a != b {
			all = append(all, fmt.Sprintf("%s %v against %v", name, a, b))
		}
	}
	compare("concurrency", o.maxInFlight, p.maxInFlight)
	compare("prefetch", o.prefetch, p.prefetch)
	compare("window", o.window, p.window)
	compare("max attempts", o.maxAttempts, p.maxAttempts)
	compare("drop", o.drop, p.drop)
	compare("max deliveries", o.maxDeliveries, p.maxDeliveries)
	compare("dead letter", fmt.Sprintf("%q", o.deadLetter), fmt.Sprintf("%q", p.deadLetter))
	compare("no dead letter", o.noDeadLetter, p.noDeadLetter)
	compare("lowest backoff", o.backoffMin, p.backoffMin)
	compare("highest backoff", o.backoffMax, p.backoffMax)
	compare("unknown types", fmt.Sprintf("%q", o.unknown), fmt.Sprintf("%q", p.unknown))
	return strings.Join(all, ", ")
}
