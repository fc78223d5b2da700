// Package memorybroker is a broker inside one process: for tests, examples and
// programs that are one process anyway. It is the reference for all drivers.
//
// # Delivery
//
// Publish returns nil when the message lies in every queue of its topic. Each
// queue holds at most [Capacity] messages that were not settled yet; when one
// is full, Publish waits, so nothing is ever dropped. A handler that publishes
// to a full queue that only it could empty waits until its context ends: give
// such a queue room, or use [broker.NoWait]. A topic without queues keeps
// nothing and answers [broker.ErrNoSubscribers].
//
// Named queues and what they hold live as long as the broker, through
// Unsubscribe and Disconnect, and end with the process.
//
// # Ordering
//
// Queues are first in, first out, and what is given back returns to its place.
// A key is handled by one member of a queue at a time. Failed attempts are
// counted across members.
package memorybroker
