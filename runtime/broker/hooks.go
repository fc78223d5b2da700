package broker

import (
	"errors"
	"log/slog"
	"time"
)

// Hooks observe what a broker does. Each may be called concurrently, must not
// block, and must not keep the message. A nil hook is replaced by one that logs
// to Options.Logger.
type Hooks struct {
	// Connected is called when a connection stands: the first, and again each time
	// after it was lost.
	Connected func(address string, again bool)

	// Lost is called when a connection is lost; the broker restores it.
	Lost func(address string, err error)

	// Retry is called after a failed attempt that will be repeated.
	Retry func(RetryInfo)

	// DeadLettered is called when a message lies safely on its dead-letter topic.
	DeadLettered func(PoisonInfo)

	// Dropped is called when a message is given up without a dead letter.
	Dropped func(PoisonInfo)
}

// RetryInfo describes a failed attempt.
type RetryInfo struct {
	Topic, Queue string
	Message      *Message
	Attempt      int           // that failed, from 1
	Delay        time.Duration // until the next
	Err          error
}

// PoisonInfo describes a message that was given up.
type PoisonInfo struct {
	Topic, Queue string
	DeadLetter   string   // topic it was published to, empty when dropped
	Message      *Message // without body and header when it could not be decoded
	Attempts     int
	Err          error
}

// withDefaults replaces each nil hook by one that logs.
func (h Hooks) withDefaults(l *slog.Logger) Hooks {
	if h.Connected == nil {
		h.Connected = func(address string, again bool) {
			if again { // that Connect connected is no news
				l.Info("broker: connected again", "address", address)
			}
		}
	}
	if h.Lost == nil {
		h.Lost = func(address string, err error) {
			l.Warn("broker: connection lost", "address", address, "error", err)
		}
	}
	if h.Retry == nil {
		h.Retry = func(r RetryInfo) {
			l.Warn("broker: attempt failed", append(describe(r.Topic, r.Queue, r.Message, r.Err),
				"attempt", r.Attempt, "retry_in", r.Delay)...)
		}
	}
	if h.DeadLettered == nil {
		h.DeadLettered = func(p PoisonInfo) {
			l.Error("broker: message dead-lettered", append(describe(p.Topic, p.Queue, p.Message, p.Err),
				"attempts", p.Attempts, "dead_letter", p.DeadLetter)...)
		}
	}
	if h.Dropped == nil {
		h.Dropped = func(p PoisonInfo) {
			l.Error("broker: message dropped", append(describe(p.Topic, p.Queue, p.Message, p.Err),
				"attempts", p.Attempts)...)
		}
	}
	return h
}

// describe returns the log attributes of a message that failed.
func describe(topic, queue string, m *Message, err error) []any {
	attrs := []any{"topic", topic, "queue", queue, "key", m.Key, "error", err}
	if id := m.Header["ce-id"]; id != "" {
		attrs = append(attrs, "id", id)
	}
	if p, ok := errors.AsType[*PanicError](err); ok {
		attrs = append(attrs, "stack", string(p.Stack))
	}
	return attrs
}
