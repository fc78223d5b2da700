// Package mqttbroker is a broker on MQTT 5, at least once with a [ClientID], for
// Mosquitto, EMQX, HiveMQ and other servers that know shared subscriptions.
//
//	b := mqttbroker.New("mqtt://orders:secret@mqtt-1:1883", mqttbroker.ClientID("orders-0"))
//
// # Objects on the server
//
// The topic "orders.created" is the MQTT topic "orders/created". A member of the
// queue "billing" subscribes to "$share/billing/orders/created", a subscription
// without a queue to the topic itself, both with QoS 1. Each subscription has a
// connection of its own, because acknowledgements are sent in the order of the
// messages, and another one is there for publishing.
//
// # Sessions
//
// MQTT has no queues. What stands for one are the sessions of its members: the server
// gives each message of a shared subscription to one session, which keeps it until it
// is acknowledged or the session expires. It does not go to another member then, but
// is lost. A promise therefore needs a process that comes back as the same client:
//
//   - With [ClientID], which must be stable across restarts and differ between
//     processes (the name of a pod of a StatefulSet is both), sessions stay when a
//     process ends, in good order or not, and keep what comes meanwhile for
//     [SessionExpiry]. Delivery is at least once as long as the process is back by then.
//     The client id of a subscription is made of ClientID, the topic, the queue and a
//     number that tells apart the members within one process, so a process should
//     have as many of them as before. Whoever takes a process out of service for good
//     leaves its share of the messages behind: let it be the last one, or end its
//     sessions on the server when they are empty.
//   - Without it, sessions outlast broken connections for [SessionExpiry], but not the
//     process: what it has not handled when it ends is lost, and so is what is
//     published while a queue has no member.
//
// When the server has lost a session while the connection was down, what it kept is
// lost too, and a warning is logged.
//
// # Delivery
//
// Nil from Publish means that the server has acknowledged the message; how safe it is
// then depends on the server. Mosquitto writes its store at intervals
// ("autosave_interval") and when it ends, so a crash loses what came since. Servers
// also bound what they keep for a session, and drop beyond it what they have
// acknowledged (Mosquitto: "max_queued_messages", 1000 unless set; 0 is no bound).
// Set these bounds to what a member may fall behind. Mosquitto also delays small packets
// by up to 40 ms unless "set_tcp_nodelay" is true.
//
// A topic without a session is [broker.ErrNoSubscribers] where the server says so, as
// Mosquitto and EMQX do (reason code 0x10; a server may leave it out). Mosquitto 2.0
// says so too when it was restarted, until the members are back. Publish waits
// for a lost connection to come back as long as its context lives, and for room when
// the server allows no more unacknowledged messages; with NoWait that is
// [broker.ErrBackpressure]. An answer that did not come before the connection was
// lost or the context ended is [broker.ErrUncertain]; a message is never sent twice.
//
// There are no dead letters, since nothing is kept where nobody has a session:
// Subscribe with [broker.DeadLetter] is [broker.ErrUnsupported]. What fails is retried
// without end, or until [broker.DropAfter].
//
// A message that is retried holds up the acknowledgements of those behind it, though
// not their handling; a crash repeats all of them. The server sends at most
// [ReceiveMaximum] beyond the last one that was acknowledged.
//
// # Wire format
//
// Headers are user properties, except content-type, which is the content type of
// MQTT, and a message with ce-id, ce-source and ce-type is a CloudEvent in binary
// mode (CloudEvents MQTT Protocol Binding 1.0.2, section 3.1): its attributes have no
// prefix, and the property "micro-plain" names those properties without a "-" that
// are none. The key is the property "partitionkey". What MQTT does not carry, such as
// control characters, travels in front of the body, and "micro-packed" says how many
// bytes it takes there. User properties with the prefix "ce-" are read too.
package mqttbroker
