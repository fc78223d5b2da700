package broker

import (
	"context"
	"time"
)

// Driver is a transport. It translates, nothing else: order, retry, dead
// letters, drain, header limits and heartbeats are the engine's, and the same
// for every transport. [New] makes a [Broker] of it.
//
// All methods may be called concurrently. Errors are raw: the engine wraps and
// classifies them once.
type Driver interface {
	// Info describes the transport. It is constant while connected.
	Info() Info

	// Connect makes the transport ready. It is called again after Close.
	Connect(ctx context.Context) error

	// Publish hands r to every queue of the topic, and returns nil once it was
	// accepted at Info.PublishLevel. The record is valid, and its list and body
	// must be neither changed nor kept; strings may be, and the list if it is taken
	// by [Record.TakeHeader]. An error means that the message may have been taken,
	// whatever its cause, unless it is one of [NotDelivered] or [Rejected], or wraps
	// one and nothing beside it. A message whose Publish certainly failed must never
	// be delivered later.
	Publish(ctx context.Context, topic string, r *Record, o PublishOptions) error

	// Declare creates a queue without consuming from it; it keeps messages from
	// then on. It is idempotent, and called only with Capabilities.DeclareQueue.
	Declare(ctx context.Context, topic, queue string) error

	// Open starts taking messages. They flow from the moment it returns.
	Open(ctx context.Context, spec SourceSpec) (Source, error)

	// Close flushes what was published and ends the connection. Calls of Publish
	// that wait return. The engine has closed all sources before.
	Close(ctx context.Context) error
}

// Source gives the engine the messages of one subscription. It is pulled, so
// that nobody holds what nobody keeps alive, and survives reconnects by itself.
//
// Receive is called by one goroutine at a time; the other methods may be called
// concurrently with it and with each other.
type Source interface {
	// Receive blocks until it has at least one delivery and returns how many it
	// wrote to buf. It returns an error when ctx ends, after Stop, or when the
	// source cannot go on for now; the engine calls again after a backoff.
	Receive(ctx context.Context, buf []Raw) (int, error)

	// Load decodes a delivery. It is called for each attempt and each dead letter,
	// and may return the same record each time. Its body is valid until the delivery
	// is settled; its strings and the list of its headers are for whoever keeps them.
	// An error makes the delivery poison; the record then holds what could be read and
	// goes to the dead letter.
	Load(r *Raw) (Record, error)

	// Settle ends a delivery, once. [ErrStale] says that its connection is gone and
	// the transport will deliver it again.
	Settle(ctx context.Context, r *Raw, o Outcome, cause error) error

	// Extend restarts the ack clock of deliveries that the engine still holds. It
	// is called every third of Info.AckWait; some may have been settled meanwhile.
	Extend(ctx context.Context, held []Raw)

	// Stop takes no more: a blocked Receive returns an error. Held deliveries may
	// still be settled. It is idempotent.
	Stop(ctx context.Context) error

	// Close ends the source. It is called once, after Stop, when all deliveries
	// were settled or given up.
	Close(ctx context.Context) error
}

// SourceSpec says what to open.
type SourceSpec struct {
	// Topic is the topic.
	Topic string

	// Queue is the queue to be a member of; empty means an own copy of each
	// message for the life of the source.
	Queue string

	// MaxInFlight is how many handlers run at once, Prefetch how many deliveries more
	// the engine takes, and Window how many it holds at most, never less than the two
	// together.
	MaxInFlight, Prefetch, Window int
}

// Raw is one delivery as a driver sees it.
type Raw struct {
	// Key is the key of the message, empty for none.
	Key string

	// Partition is the log that the delivery came from; it matters with
	// Capabilities.Contiguous only.
	Partition int32

	// Failures is the number of failed attempts. With
	// Capabilities.PersistentAttempts the driver stores it when a delivery is
	// given back and sets it here; otherwise it begins at 0.
	Failures int

	// Deliveries is the transport's own count, this one included; 0 where it has
	// none.
	Deliveries int

	// Value is the driver's own.
	Value any
}

// Outcome is how a delivery ends.
type Outcome uint8

const (
	// Ack means that the message was handled, or lies on its dead-letter topic.
	Ack Outcome = iota + 1

	// GiveBack returns the message to its queue, where it keeps its place in the
	// order as well as the transport can. It does not count as an attempt beyond
	// Raw.Failures.
	GiveBack

	// Reject means that the message is given up for good without a dead letter.
	Reject
)

// String returns the outcome's name.
func (o Outcome) String() string {
	switch o {
	case Ack:
		return "ack"
	case GiveBack:
		return "give back"
	case Reject:
		return "reject"
	default:
		return "invalid outcome"
	}
}

// Info describes a transport.
type Info struct {
	// Name is the kind, such as "nats"; Address is where it is reached, without
	// credentials.
	Name, Address string

	// PublishLevel completes the sentence "nil from Publish means that the message
	// was ...".
	PublishLevel string

	// Capabilities says what the transport can and cannot do.
	Capabilities Capabilities

	// AckWait is how long the transport waits for a delivery to be settled before
	// it delivers again; 0 means for ever.
	AckWait time.Duration

	// Prefetch is the least of [SubscribeOptions.Prefetch], within the window. Members
	// of a queue that prefetch starve others.
	Prefetch int

	// MaxMessageBytes is the largest body that the transport takes; 0 means no
	// limit of its own.
	MaxMessageBytes int

	// Headers says which headers the transport carries exactly. The engine encodes
	// the others on the way in and restores them on the way out.
	Headers HeaderSupport
}

// Capabilities are the differences between transports. The zero value promises
// least.
type Capabilities struct {
	AtLeastOnce           bool // an acknowledged publish is handled at least once
	QueueOutlivesMembers  bool // a named queue keeps messages while it has no member
	DeclareQueue          bool // a queue can exist before its first member
	KeyOrderAcrossMembers bool // one key is handled by one member of a queue at a time
	PersistentAttempts    bool // failed attempts are counted across members
	DeliveryCount         bool // Raw.Deliveries is set
	KnowsSubscribers      bool // Publish returns ErrNoSubscribers when no queue would keep the message
	NoWait                bool // Publish can fail with ErrBackpressure instead of waiting
	Contiguous            bool // a log: deliveries of a partition are settled in their order
}

// HeaderSupport says which headers a transport carries exactly.
type HeaderSupport uint8

const (
	// HeadersExact carries every header.
	HeadersExact HeaderSupport = iota

	// HeadersPrintable carries names of HTTP token characters in any case, and
	// values of printable ASCII without blanks at either end.
	HeadersPrintable

	// HeadersPrintableLower is HeadersPrintable with names in lower case only.
	HeadersPrintableLower

	// HeadersCloudEvents is HeadersPrintable, and carries every value of names that
	// begin with "ce-": the driver percent-encodes them, as some bindings of
	// CloudEvents want.
	HeadersCloudEvents
)

// Optional abilities of drivers and sources, found by the engine.
type (
	// Configurer is a driver with options of its own; see [DriverOption]. Configure
	// returns [ErrUnsupported] for a value that it does not know.
	Configurer interface{ Configure(v any) error }

	// LinkWatcher is a driver whose connection may be lost and restored while
	// connected. It calls fn on each change: with nil when the connection stands,
	// with the reason when it is lost. WatchLink is called once, before Connect.
	LinkWatcher interface{ WatchLink(fn func(lost error)) }

	// BatchPublisher is a driver that publishes many messages faster than one by
	// one. It returns one error per message, or nil when all were accepted.
	BatchPublisher interface {
		PublishBatch(ctx context.Context, topic string, rs []*Record, o PublishOptions) []error
	}

	// Pinger is a driver that can ask the other side whether it is well.
	Pinger interface {
		Ping(ctx context.Context) error
	}

	// Lender is a source that is served by goroutines which have nothing else to do
	// until what they brought is handled. LendTo is called once, before the first
	// Receive. From then on Receive does not block: it returns 0 and no error when
	// there is nothing, and the source calls work after each arrival. That makes the
	// calling goroutine a worker of the subscription until there is nothing for it to
	// do or done returns true; done is called between attempts and must not block. A
	// handler may keep the goroutine for long, or end it.
	Lender interface {
		LendTo(work func(done func() bool))
	}

	// StaleChecker is a source that knows which deliveries belong to an ended
	// connection or a revoked partition. The engine drops those that have not
	// started: the transport delivers them again.
	StaleChecker interface{ Stale(r *Raw) bool }

	// AttemptWatcher is a source whose deliveries may be taken away and given to
	// another member, as a partition of a log is. It is told when attempts begin and
	// end, so that it can let those end first that run. BeginAttempt returns whether
	// the attempt may begin; if not the engine drops the delivery, as one that is
	// stale. EndAttempt is called after each attempt that began, when what it led to
	// was settled.
	AttemptWatcher interface {
		BeginAttempt(r *Raw) bool
		EndAttempt(r Raw)
	}
)

// NotDelivered says, as an error of [Driver].Publish, that the message was
// certainly not taken. It returns nil when err is nil.
func NotDelivered(err error) error { return mark(ErrNotDelivered, err) }

// Rejected says, as an error of [Driver].Publish, that the message was refused
// for good. It returns nil when err is nil.
func Rejected(err error) error { return mark(ErrRejected, err) }

func mark(outcome, err error) error {
	if err == nil {
		return nil
	}
	return &markedError{outcome, err}
}

// markedError carries a driver's verdict to the engine.
type markedError struct{ outcome, err error }

func (e *markedError) Error() string        { return e.err.Error() }
func (e *markedError) Is(target error) bool { return target == e.outcome }
func (e *markedError) Unwrap() error        { return e.err }
