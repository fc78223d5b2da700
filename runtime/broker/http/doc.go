// Package httpbroker is the broker that needs nothing installed: publishers send
// messages over HTTP straight to those who subscribe, and wait until they have
// handled them. It is for one machine up to a small fleet; beyond that a service
// changes one constructor.
//
//	b := httpbroker.New()
//
// Two processes of one user on one machine find each other without a flag.
// Elsewhere a [Registry] tells who subscribes to what.
//
// # Delivery
//
// At level [Handled], the default, nil from Publish means that every named queue
// known for the topic had one member, and every subscription without a queue
// known at that moment itself had, a handler that finished the message. Failed
// attempts are repeated by the subscriber while the publisher waits, until its
// context ends, or else for 30 s. Then the error is [broker.ErrUncertain]; a
// repetition with the same id (the headers ce-source and ce-id, which the event
// layer sets) joins the running attempt, or finds it done, and runs only where it
// is needed. A message that a subscription gave up without a dead letter is
// [broker.ErrRejected].
//
// At level [Accepted] nil means that a member of every queue has the message in
// memory, or for a queue without one the bounded backlog of this broker. It is
// lost with the process that holds it, and with nothing else: what a subscription
// gives back goes to another member, and Disconnect sends what is left, or
// returns [ErrLost].
//
// A queue stays known for an hour after its last member, so that Publish waits
// for a consumer that restarts. A queue that nobody has registered yet can be
// named with [RequireQueues]. No queue and no subscription is
// [broker.ErrNoSubscribers]. At both levels it is at least once: a process that
// dies between handling and answering handles again.
//
// A handler that publishes, at level Handled, to the subscription whose only slot
// it holds would wait for itself. Inside one process that is an error at once.
// Across processes, such as two services that publish to each other from
// handlers with one slot, it ends when their contexts do: give such
// subscriptions [broker.MaxInFlight], or use level Accepted.
//
// Dead letters need a queue that keeps messages before anybody reads them, and so
// level Accepted.
//
// # Ordering
//
// A publisher has one message of a key on its way to a queue at a time, and sends
// a key to the same member as long as that can be reached. When members come and
// go, two of them may have messages of one key at once.
//
// # Throughput
//
// While a request to a member is on its way, further messages for it wait and
// leave together. One caller alone has one request per message, many share them,
// and no message ever waits for company.
//
// The first requests on a connection are HTTP/1.1; then it changes to the same frames
// without HTTP around each, and the goroutine that reads a request with one message runs
// its handler. A token or a signature goes with each frame. It stays HTTP where the member
// is mounted in another server, or is behind a proxy.
//
// # Shutdown
//
// Unsubscribe withdraws the member and sends publishers to another one at once,
// finishes the handlers and answers. A rolling restart loses and repeats nothing.
//
// # Security
//
// By default the broker listens on the loopback interface, where every process of
// the machine may publish. For an address that other machines can reach Connect
// wants encryption and authentication, each of which only an option that says so
// in its name waives:
//
//   - [TLSFiles]: mutual TLS, with files that are read again when they change; [TLS]
//     for a configuration of one's own.
//   - [Bearer], [BearerFunc]: a token, fixed or from an issuer.
//   - [HMAC]: requests signed after Standard Webhooks; a signature is good once.
//
// All that are given must be satisfied. [Authorize] says who may publish to a topic,
// and which members messages may be sent to. [Ingress] lets everybody else publish
// CloudEvents under the same rules.
//
// Addresses from a registry are hints: link-local, multicast and unspecified ones
// are never dialled, redirections never followed, proxies not used, browsers not
// served. Requests are bounded in size, number, time and memory before they are
// read; all but signatures is checked before a body is read.
//
// The protocol is written down in docs/protocol.md.
package httpbroker
