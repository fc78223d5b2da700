// Package natsbroker is a broker on NATS: JetStream by default, at least once;
// core NATS with [Core], at most once.
//
// # Addresses
//
// [New] takes one or more URLs of one cluster, separated by commas:
// nats://host:4222, tls://host:4222, with user:password@ or token@ if need be.
// Address leaves credentials out.
//
// # Objects on the server
//
// The subject of a topic is the topic. With [Auto] the first Subscribe or
// DeclareQueue of a topic that no stream takes creates a stream for it, and a
// queue becomes a durable consumer:
//
//	stream     micro~<topic>    dots written as "~"
//	consumer   <queue>@<topic>  the same; hashed when longer than 200 bytes
//
// A stream that you made, such as one for "shop.>", is used as it is, and so are
// consumers. The streams of this package keep a message until every queue that
// existed when it came has handled it. They keep nothing for a topic without a
// queue. A subscription without a queue has a consumer of its own that ends with
// it, or [InactiveThreshold] after its process died.
//
// # Delivery
//
// Publish returns nil when the stream has stored the message. It waits for a
// lost connection to come back, and for room in a full stream, as long as its
// context lives. No stream for the topic is [broker.ErrNoSubscribers]; a stream
// without a queue is not noticed. An answer that did not come before the
// connection was lost, the context ended or 30 s were over is
// [broker.ErrUncertain]. A topic that the user may not publish to is
// [broker.ErrRejected].
//
// A subscription asks for as many messages as it has free workers. Members of a
// queue share its messages as they ask for them, so the order per key holds
// within a member only. What is given back is delivered before newer messages.
// Deliveries outlive a connection: they are acknowledged after a reconnection,
// so [broker.ErrStale] does not occur. What was on its way when a connection
// broke is delivered again after the ack wait, behind newer messages of its key.
//
// # Wire format
//
// CloudEvents 1.0 binary mode of the NATS binding: values of headers that begin
// with "ce-" are percent-encoded, ce-specversion is added to messages with
// ce-id, ce-source and ce-type, and the key travels as ce-partitionkey. Headers
// of a message that would mean something to the server or to this binding
// (Nats-..., ce-specversion, ce-partitionkey) travel as micro-user-<name>.
// Headers of more than 63 KiB, which the server does not take, travel before the
// body, and the header micro-packed says how long they are. A body may take
// seven eighths of the server's max_payload; the rest is for headers.
//
// # Core
//
// Publish returns nil when the server has processed the message, whoever
// listens. A subscription that is too slow for what the client buffers (64 MiB)
// loses messages, and so does one that ends while messages wait in it or are
// given back. What is dropped or cannot be given back is logged.
package natsbroker
