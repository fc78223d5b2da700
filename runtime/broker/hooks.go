package broker

import "time"

// Hooks observe what a broker does. Each may be called concurrently, must not
// block, and must not keep the message. A nil hook is replaced by one that logs
// to Options.Logger.
type Hooks struct {
	// Connected is called when a connection stands, the first and each later one.
	Connected func(address string)

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
