package gomicrobroker

import (
	"errors"
	"sync"

	gomicro "go-micro.dev/v5/broker"

	"github.com/micro-event/micro-event/runtime/broker"
)

var (
	// ErrNotAcked is the error of an attempt whose handler returned nil without
	// Ack, though it subscribed with DisableAutoAck.
	ErrNotAcked = errors.New("go-micro: the handler returned nil without calling Ack: " +
		"call it before returning, or subscribe without DisableAutoAck, so that nil acknowledges")

	// ErrTooLate is returned by Ack after the handler has returned.
	ErrTooLate = errors.New("go-micro: Ack after the handler has returned: " +
		"what it returned has decided; call Ack before")
)

// event is a delivery as go-micro's handlers see it.
type event struct {
	topic   string
	message *gomicro.Message
	err     error

	mu           sync.Mutex
	acked, ended bool
}

func newEvent(d *broker.Delivery) *event { return &event{topic: d.Topic, message: messageOf(d)} }

// Topic implements go-micro's Event.
func (e *event) Topic() string { return e.topic }

// Message implements go-micro's Event.
func (e *event) Message() *gomicro.Message { return e.message }

// Error implements go-micro's Event. It is what an ErrorHandler is told.
func (e *event) Error() error { return e.err }

// Ack implements go-micro's Event. The message is acknowledged when the handler
// returns.
func (e *event) Ack() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ended {
		return ErrTooLate
	}
	e.acked = true
	return nil
}

// end says that the handler has returned, and returns whether it acknowledged.
func (e *event) end() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ended = true
	return e.acked
}
