package event

import (
	"errors"
	"fmt"
	"time"

	"github.com/micro-event/micro-event/runtime/broker"
)

// Errors of this package, to be found by errors.Is. Faults of headers, types and
// bodies are also a [HeaderError], [TypeError] or [CodecError], to be found by
// errors.As.
//
// An error of [Client.PublishEvent] also matches one of broker.ErrNotDelivered,
// broker.ErrUncertain and broker.ErrRejected, which say what became of the
// event; one that the client refused itself matches broker.ErrRejected.
var (
	// ErrNilEvent is returned by PublishEvent when the event is nil, a nil
	// pointer of its type included.
	ErrNilEvent = errors.New("event is nil")

	// ErrInvalidSource is returned by PublishEvent when the source of the client
	// is empty or not a URI reference.
	ErrInvalidSource = errors.New("invalid source")

	// ErrInvalidHeader is returned by PublishEvent when a header of the context
	// or an allow-list has a name that is no token or is reserved. It is the
	// cause of a delivery that lacks a required attribute of an event. It is the
	// same error as broker.ErrInvalidHeader.
	ErrInvalidHeader = broker.ErrInvalidHeader

	// ErrCodec is returned when a body cannot be encoded or decoded: the content
	// type is unknown, or the body is not what the content type says.
	ErrCodec = errors.New("codec")

	// ErrType is returned when a message is an event, but of a type that nobody
	// asked for.
	ErrType = errors.New("unexpected event type")

	// ErrNotEvent is returned when a message does not say that it is an event:
	// it has no type or no content type.
	ErrNotEvent = errors.New("not an event")

	// ErrConflict is returned by Subscribe when two subscriptions of one topic
	// and queue contradict each other.
	ErrConflict = errors.New("conflicting subscriptions")

	// ErrServerStarted is returned by Subscribe and Start when the server runs.
	ErrServerStarted = errors.New("server is started")

	// ErrServerStopped is returned by Health when the server does not run: before
	// Start has returned, from the moment it stops, and afterwards.
	ErrServerStopped = errors.New("server is stopped")
)

// HeaderError says which header is at fault. It matches [ErrInvalidHeader].
type HeaderError struct {
	// Name is the header, in lower case.
	Name string

	// Reason says what is wrong with it.
	Reason string
}

// Error implements error.
func (e *HeaderError) Error() string {
	return fmt.Sprintf("%v %q: %s", ErrInvalidHeader, e.Name, e.Reason)
}

// Unwrap returns [ErrInvalidHeader].
func (e *HeaderError) Unwrap() error { return ErrInvalidHeader }

// TypeError says of which type an event is that nobody asked for. It matches
// [ErrType].
type TypeError struct {
	// Type is the type as it stands on the wire.
	Type string
}

// Error implements error.
func (e *TypeError) Error() string { return fmt.Sprintf("%v %q", ErrType, e.Type) }

// Unwrap returns [ErrType].
func (e *TypeError) Unwrap() error { return ErrType }

// CodecError says which content type a body could not be encoded to, or decoded
// from, and why. It matches [ErrCodec].
type CodecError struct {
	// ContentType is the content type as it stands on the wire.
	ContentType string

	// Cause says what went wrong.
	Cause error
}

// Error implements error.
func (e *CodecError) Error() string { return fmt.Sprintf("%v: %v", ErrCodec, e.Cause) }

// Unwrap makes errors.Is and errors.As see both [ErrCodec] and the cause.
func (e *CodecError) Unwrap() []error { return []error{ErrCodec, e.Cause} }

// ErrRequeue is returned by a handler that cannot take the event now: it is
// tried again without counting as a failed attempt. It is the same error as
// broker.ErrRequeue.
var ErrRequeue = broker.ErrRequeue

// Permanent marks the error of a handler as one that no retry can mend: the
// event is dead-lettered at once. It returns nil when err is nil.
func Permanent(err error) error { return broker.Permanent(err) }

// RetryAfter marks the error of a handler as a failed attempt whose retry waits
// for d instead of the backoff; a negative d counts as 0. It returns nil when
// err is nil.
func RetryAfter(err error, d time.Duration) error { return broker.RetryAfter(err, d) }
