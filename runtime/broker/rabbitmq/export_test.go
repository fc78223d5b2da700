package rabbitmqbroker

import (
	"time"

	"github.com/micro-event/micro-event/runtime/broker"
)

// DialTimeout bounds how long a session may take to be made.
func DialTimeout(d time.Duration) broker.Option { return option(func(c *config) { c.dialTimeout = d }) }

// CallTimeout bounds how long the server may take to answer.
func CallTimeout(d time.Duration) broker.Option { return option(func(c *config) { c.callTimeout = d }) }

// ConfirmTimeout bounds how long the server may take to confirm a message.
func ConfirmTimeout(d time.Duration) broker.Option {
	return option(func(c *config) { c.confirmTimeout = d })
}
