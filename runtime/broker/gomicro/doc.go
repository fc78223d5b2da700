// Package gomicrobroker stands between go-micro and the brokers of this module:
// [FromGoMicro] makes any broker of go-micro one of ours, and [ToGoMicro] makes any
// of ours one of go-micro. So services can move one at a time; see
// docs/from-go-micro.md.
//
// Both directions translate and do nothing else. Headers arrive as they were
// sent. The key, which go-micro's messages have no place for, is the header
// ce-partitionkey there; a header of that name that is a message's own, or that
// begins with micro-user-, travels with micro-user- before its name.
//
// # From go-micro: delivery
//
// Go-micro's brokers have no acknowledgement that they all keep, no nack and no
// count of attempts. So a message is acknowledged when it has been handed over:
// at most once, and no capability is promised. Retries happen in this process; what
// waits here when the subscription or the process ends is lost, and so is what
// a draining subscription gives back, which is logged. There is no dead letter,
// since go-micro has no queue that keeps messages without a member.
//
// Publish returns what go-micro's broker returns; an error is
// [broker.ErrUncertain], as it says nothing else, unless a broker of ours is behind
// it. It does not wait longer than its context. What go-micro still does then goes on,
// and Disconnect waits for it. Nobody says whether anybody subscribes, nor whether the connection stands.
//
// Where brokers of go-micro differ:
//
//	memory   ignores queues, so that a queue is [broker.ErrUnsupported], see [Queues].
//	         Publish waits until every subscriber has taken the message. A handler
//	         of go-micro that fails is an error of Publish and keeps the message
//	         from the subscribers behind it, unless the broker has an ErrorHandler.
//	nats     Subscribe and Unsubscribe wait for a round trip to the server, since
//	         go-micro returns before the server knows. With its PoolSize that proves nothing.
//	         Publish returns when the message is in a buffer. A body may be about
//	         seven tenths of the server's max_payload: set [broker.MaxMessageBytes].
//	others   as go-micro's; Subscribe of its RabbitMQ broker returns early.
//
// # To go-micro: delivery
//
// The broker keeps its contract: an error of the handler is tried again, without
// end unless [SubscribeWith] says otherwise. That is also what becomes of a
// message that a go-micro server cannot decode, so give it a limit and a dead
// letter. After DisableAutoAck a handler that returns nil without Ack has failed
// with [ErrNotAcked]: a message that nobody acknowledged is delivered again, and
// what is never acknowledged must come to an end. Go-micro's servers never call
// Ack; subscribe them without DisableAutoAck. An ErrorHandler is told of each
// failed attempt and changes nothing.
//
// Topics and queues must satisfy [broker.CheckTopic]; "shop/orders" is
// [broker.ErrInvalidTopic]. Go-micro's default server only logs such an error of
// Subscribe and starts without the subscription. Where our broker knows that nobody
// would keep a message, Publish is [broker.ErrNoSubscribers], which go-micro's
// own brokers do not report.
//
// # Ordering
//
// From go-micro: as its broker delivers; messages of one key are handled one at a
// time. To go-micro: as our broker does; a publisher of go-micro sets a key with
// the header ce-partitionkey of a broker.Message. Its metadata cannot, since it
// changes the case of names.
//
// # Shutdown
//
// Disconnect of either side disconnects the broker that it was made of, for all
// who use it, as go-micro's server does when it stops. Unsubscribe waits for
// running handlers. Called by go-micro from inside a handler, which it has
// no context to tell, it waits until [Timeout] and returns an error.
package gomicrobroker
