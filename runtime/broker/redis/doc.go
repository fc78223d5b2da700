// Package redisbroker is a broker on Redis Streams, at least once, for Redis 6.2 and
// newer and what speaks its protocol.
//
//	b := redisbroker.New("redis://orders:secret@redis-1:6379/0")
//
// # Objects on the server
//
// A topic is the stream "micro-event:{<topic>}" and a queue of it is the consumer
// group "queue:<queue>" of that stream. Subscribe and DeclareQueue make both. A
// subscription without a queue has a group of its own, "own:<random>", which ends
// with it, or [InactiveThreshold] after its process died.
//
// A stream keeps a message until every queue that existed when it came has handled
// it: members remove what all have, about once a second. A queue that nobody reads
// any more therefore keeps all messages; remove it with XGROUP DESTROY. Do not trim
// these streams by length: that drops what nobody has handled. A message that was
// trimmed while a member had it goes to the dead letters without its content.
//
// # Delivery
//
// Nil from Publish means that the server has stored the message, as durably as it is
// set up: with "appendonly yes" and "appendfsync always" a crash loses nothing, with
// what Redis does by default it loses what came since the last snapshot. (Redis 7.0
// with "user default off" forgets, when it loads its append-only file, what groups
// have read, so that all that is in the streams is handled again: give the default
// user a password instead.) Publish
// waits for a lost connection to come back, and for memory on a full server
// ("maxmemory"), as long as its context lives; with NoWait a full server is
// [broker.ErrBackpressure]. A topic without a queue is [broker.ErrNoSubscribers]. An
// answer that did not come before the connection was lost or the context ended is
// [broker.ErrUncertain]; a message is never sent twice.
//
// Members of a queue share its messages as they have room for them, so the order per
// key holds within a member only. What a member holds is kept alive; when it dies,
// the others take it over [AckWait] later. What is given back is taken within half a
// second, behind messages that came meanwhile. Acknowledgements are sent in the
// background and repeated after a reconnection.
//
// # Wire format
//
// An entry has the field "b" for the body, "k" for the key and "h:<name>" for each
// header; there is no binding of CloudEvents to Redis, so this form is ours.
//
// # Clusters
//
// All keys of a topic lie in one slot of a cluster. The tests run on a single
// server; Sentinel and clusters are reached with [ClientOptions].
package redisbroker
