package broker

import (
	"errors"
	"fmt"
	"time"
)

// What became of a message whose Publish failed. Every error of Publish matches
// exactly one of the three.
var (
	// ErrNotDelivered is returned when the message was certainly not taken. It
	// will not be delivered later; publishing it again is safe.
	ErrNotDelivered = errors.New("not delivered")

	// ErrUncertain is returned when the message may have been taken: the
	// connection or the context ended between sending and confirmation.
	// Publishing it again may deliver it twice.
	ErrUncertain = errors.New("delivery uncertain")

	// ErrRejected is returned when the message was refused for good. Publishing
	// it again unchanged fails again.
	ErrRejected = errors.New("rejected")
)

// Causes, wrapped by the errors of Publish, Subscribe and the rest.
var (
	// ErrClosed is returned by a broker that was disconnected. With ErrUncertain it
	// means that a Publish waited for its confirmation at that time.
	ErrClosed = errors.New("broker is closed")

	// ErrNotConnected is returned before Connect, and while a lost connection
	// could not be restored in time.
	ErrNotConnected = errors.New("broker is not connected")

	// ErrTooLarge is returned when a body exceeds Options.MaxMessageBytes.
	ErrTooLarge = errors.New("message is too large")

	// ErrInvalidHeader is returned when a key or a header breaks the limits of
	// [Header].
	ErrInvalidHeader = errors.New("invalid header")

	// ErrInvalidTopic is returned when a topic or a queue name breaks the
	// grammar of [CheckTopic].
	ErrInvalidTopic = errors.New("invalid topic")

	// ErrNoSubscribers is returned by brokers that know that no queue would keep
	// the message, unless [AllowNoSubscribers] was given.
	ErrNoSubscribers = errors.New("no subscribers")

	// ErrBackpressure is returned when there is no room and [NoWait] was given.
	ErrBackpressure = errors.New("no room")

	// ErrUnsupported is returned when the broker cannot honour an option.
	ErrUnsupported = errors.New("unsupported")

	// ErrInHandler is returned by Unsubscribe and Disconnect when they are called
	// from a handler that they would have to wait for.
	ErrInHandler = errors.New("called from inside a handler")

	// ErrStale is returned by [Source] when a delivery is settled after the
	// connection that it came from. The transport will deliver it again.
	ErrStale = errors.New("connection of the delivery is gone")
)

// ErrRequeue is returned by a handler that cannot take the message now: it is
// tried again without counting as a failed attempt.
var ErrRequeue = errors.New("requeue")

// PublishError is the error of every failed Publish.
type PublishError struct {
	// Topic is the topic as it was given to Publish.
	Topic string

	// Outcome is [ErrNotDelivered], [ErrUncertain] or [ErrRejected].
	Outcome error

	// Cause says why.
	Cause error
}

// Error implements error.
func (e *PublishError) Error() string {
	return fmt.Sprintf("broker: publish to %q: %v: %v", e.Topic, e.Outcome, e.Cause)
}

// Unwrap makes errors.Is and errors.As see both the outcome and the cause.
func (e *PublishError) Unwrap() []error { return []error{e.Outcome, e.Cause} }

// Permanent marks err as one that no retry can mend: the message is
// dead-lettered at once. It returns nil when err is nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanentError{err}
}

// IsPermanent reports whether err was marked by [Permanent].
func IsPermanent(err error) bool {
	var p *permanentError
	return errors.As(err, &p)
}

type permanentError struct{ err error }

func (e *permanentError) Error() string { return "permanent: " + e.err.Error() }
func (e *permanentError) Unwrap() error { return e.err }

// RetryAfter marks err as a failed attempt whose retry waits for d instead of
// the backoff; a negative d counts as 0. It returns nil when err is nil.
func RetryAfter(err error, d time.Duration) error {
	if err == nil {
		return nil
	}
	return &retryAfterError{err, max(d, 0)}
}

type retryAfterError struct {
	err   error
	delay time.Duration
}

func (e *retryAfterError) Error() string { return fmt.Sprintf("%v (retry after %v)", e.err, e.delay) }
func (e *retryAfterError) Unwrap() error { return e.err }

// PanicError is the error of an attempt whose handler panicked.
type PanicError struct {
	// Value is what the handler panicked with.
	Value any

	// Stack is the stack of the handler's goroutine at the panic.
	Stack []byte
}

// Error implements error. It leaves the stack out; logs and hooks print it.
func (e *PanicError) Error() string { return fmt.Sprintf("handler panicked: %v", e.Value) }

// Unwrap returns the value when it is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}
