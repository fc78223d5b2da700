package event

import (
	"errors"
	"time"

	"github.com/micro-event/micro-event/runtime/broker"
)

// Errors of this package, to be found by errors.Is.
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
)

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
