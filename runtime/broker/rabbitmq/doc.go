// Package rabbitmqbroker is a broker on RabbitMQ (AMQP 0.9.1), at least once, for
// RabbitMQ 3.10 and newer.
//
//	b := rabbitmqbroker.New("amqp://orders:secret@rabbit-1:5672/shop")
//
// With an amqps:// URL, or the option [TLS], it speaks TLS. A server that does not answer
// within 10 s is given up and connected to again.
//
// # Objects on the server
//
// Messages are published to the durable topic exchange "micro-event" (see
// [Exchange]); the topic is the routing key. A queue is the quorum queue
// "<queue>@<topic>", hashed when longer than 255 bytes, bound to that key. Subscribe
// and DeclareQueue make what is missing; a queue that exists is used as it is. A
// subscription without a queue has a queue of its own, which ends with it, or
// [InactiveThreshold] after its process died.
//
// RabbitMQ 4 drops a message of a quorum queue that came back 20 times, and what a
// member gives back counts. Queues that this package makes there have no such limit;
// [broker.MaxDeliveries] is the one that keeps a dead letter. RabbitMQ 3.10 forgets a
// quorum queue that was declared a moment before the node is killed, with what is in
// it: declare queues when you deploy, not when you need them.
//
// # Delivery
//
// Publish sends persistent messages, which the server must route, and returns nil
// when it has confirmed them: a majority of the replicas has written them. A topic
// without a queue is [broker.ErrNoSubscribers]. Publish waits for a lost connection to
// come back, for room in the publish window ([PublishWindow]) and while the server is
// short of memory or disk, as long as its context lives; with NoWait the last two are
// [broker.ErrBackpressure]. A confirmation that did not come before the connection was
// lost, the context ended or 30 s were over is [broker.ErrUncertain]; so is that a queue
// of the topic is full, as its others have the message. The server closes the channel at
// a message that it refuses, because it is too large for it or for want of permission,
// and does not say at which one: it is [broker.ErrRejected] when no other one was on its
// way, and otherwise ErrUncertain as they are. A message is never sent twice.
//
// Members of a queue share its messages as they have room for them, so the order per
// key holds within a member only. A member takes as many as it may handle at once, and
// more while retries wait in it or as [broker.Prefetch] says. What it gives back, or had
// when its connection broke, is delivered again before newer messages. Not so when the
// server itself is killed: a member that is back before it has put back what the dead
// connection held is given newer messages first, as many as it takes at once. What was
// delivered on a connection that is gone cannot be acknowledged: a handler that runs
// meanwhile finishes, and its message comes again.
//
// The server closes a channel that holds a message for longer than its
// consumer_timeout, 30 minutes by default; the messages are delivered again then.
//
// # Wire format
//
// CloudEvents 1.0 binary mode of the AMQP binding: ce-id is the header
// "cloudEvents:id", and content-type the property of that name. Other headers keep
// their names, and the key is the header "micro-key". Headers that would mean
// something to the server or to this binding, or are more than fits in a frame, travel
// before the body, all of them, and the header "micro-packed" says how long they are.
package rabbitmqbroker
