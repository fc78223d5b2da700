// Package broker moves messages between services: a [Broker] publishes them to
// topics and runs handlers for them, whatever transport is underneath.
//
// # Delivery
//
// Each queue of a topic gets every message at least once; the members of a
// queue share them. A subscription without a queue gets its own copy of each.
// Publish returns nil when the message was accepted at the broker's level, and
// otherwise says whether it may have been taken. A handler's nil acknowledges;
// anything else is retried with backoff, without end unless [MaxAttempts] or
// [DropAfter] says otherwise.
//
// # Ordering
//
// Messages of one [Message].Key reach each queue in the order they were
// published one after the other, and are handled in it by one member, one at a
// time, even when an earlier one is retried. Messages without a key start in
// the order of their arrival and never wait for each other's retries.
//
// # Errors
//
// Callers decide with errors.Is: [ErrNotDelivered], [ErrUncertain] and
// [ErrRejected] say what became of a message, the other sentinels say why.
//
// # Shutdown
//
// Unsubscribe and Disconnect let running handlers finish within their context
// and give the rest back to the queue uncounted.
package broker
