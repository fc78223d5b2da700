package broker

import "context"

// Broker carries messages from publishers to the subscriptions of their topic.
// [New] makes one from a [Driver]; every constructor of an adapter returns such
// a broker. Other implementations are welcome: the event layer asks for nothing
// more than these eight methods.
//
// All methods may be called concurrently. A context bounds the call it is
// given to, never the lifetime of what the call starts.
type Broker interface {
	// Init applies options. It fails with [ErrUnsupported] once the broker is
	// connected.
	Init(opts ...Option) error

	// Options returns a copy of the options in force.
	Options() Options

	// Address returns where the broker is reached, without credentials.
	Address() string

	// Connect makes the broker ready to publish and subscribe. It is a no-op
	// when the broker is connected, and works again after Disconnect.
	Connect(ctx context.Context) error

	// Disconnect drains all subscriptions (see [Subscriber]), flushes what was
	// published and closes the connection. The drain may use three quarters of
	// the time that ctx leaves. The error lists what was cut short.
	Disconnect(ctx context.Context) error

	// Publish hands m to every queue of the topic. Nil means that m was accepted
	// at the level the broker declares (Info.PublishLevel). An error matches
	// [ErrNotDelivered], [ErrUncertain] or [ErrRejected] and wraps its cause.
	// Publish neither changes m nor keeps it. Ctx bounds the whole call, waiting
	// for room included; without a deadline that may be for ever.
	Publish(ctx context.Context, topic string, m *Message, opts ...PublishOption) error

	// Subscribe registers h for the messages of a topic. When it returns nil the
	// subscription is live: messages published from then on reach it. The values
	// of ctx reach h, its cancellation does not.
	Subscribe(ctx context.Context, topic string, h Handler, opts ...SubscribeOption) (Subscriber, error)

	// String returns the kind of the broker, such as "memory".
	String() string
}

// Handler handles one delivery. Nil acknowledges it. [Permanent] dead-letters
// it at once, [ErrRequeue] gives it back uncounted, [RetryAfter] and any other
// error are failed attempts and retried with backoff. A panic is recovered and
// is a failed attempt; see [PanicError].
//
// A subscription runs up to [MaxInFlight] handlers at once, 1 by default. Ctx
// ends when a drain runs out of time; a handler that ignores that holds the
// drain up.
type Handler func(ctx context.Context, d *Delivery) error

// Delivery is one attempt to handle one message. The handler owns it, the
// message's header and its body: each attempt gets its own copy.
type Delivery struct {
	// Topic is the topic that the message was published to.
	Topic string

	// Message is what was published, exactly.
	Message Message

	// Attempt counts from 1. It is the number of this attempt on this member of
	// the queue, or on the whole queue where the broker has the capability
	// PersistentAttempts.
	Attempt int
}

// Subscriber is a live subscription.
type Subscriber interface {
	// Options returns a copy of the options in force.
	Options() SubscribeOptions

	// Topic returns the topic.
	Topic() string

	// Unsubscribe ends the subscription. It stops new deliveries at once, lets
	// running handlers finish until ctx ends, then cancels them. What has not
	// started goes back to the queue uncounted. When it returns nil no handler
	// is running. It is idempotent.
	//
	// Called with the context of one of its own handlers it stops taking,
	// does not wait and returns [ErrInHandler]. A handler that goes on for a
	// second after its cancellation makes it return an error that names it.
	Unsubscribe(ctx context.Context) error
}
