// Package event publishes and handles typed events: protobuf messages whose
// topic, key and headers are options in the schema. Generated code and users
// live here; a broker is underneath, see package broker.
//
// A [Client] publishes, a [Server] runs handlers:
//
//	client := event.NewClient(b, "shop/orders")
//	err := ordersv1.PublishOrderCreated(ctx, client, order)
//
//	server := event.NewServer(b, "billing")
//	err := ordersv1.SubscribeOrderCreated(server, handle)
//	err = server.Run(ctx)
//
// # Delivery
//
// An event reaches each service that subscribes to it at least once, and one
// replica of it: the name of the service is the queue that its replicas share.
// [Queue] and [Broadcast] say otherwise. Publishing returns nil when the broker
// accepted the event. A handler's nil acknowledges it; any error and any panic
// is a failed attempt that is retried with backoff, for ever unless
// [MaxAttempts] or [DropAfter] is given. [Permanent] ends the retries. What is
// given up goes to the topic "<service>.dead-letters", where the broker can keep
// it; [DeadLetter] and [NoDeadLetter] say otherwise.
//
// At least once means that a handler must bear to see an event twice. Both have
// the same [Event.ID] and [Event.Source]; [Dedup] recognizes most of them.
//
// # Ordering
//
// Events with the same key that are published one after the other are handled
// in that order, one at a time, even when an earlier one is retried. Others are
// not ordered. [Concurrency] lets events of different keys, and those without
// one, run at once; the default is one at a time. [Prefetch] speeds up handlers that
// have to run one after the other.
//
// # Types and topics
//
// Several types of event may share a topic. They are received once and
// dispatched by type; [Spec].Aliases are accepted beside the type. Events of
// other types are acknowledged when the server handles several types on the
// topic, and fail permanently otherwise; [IgnoreUnknownTypes] and
// [RejectUnknownTypes] say otherwise. Whether a message is an event is decided
// by its headers, never by trying to decode it.
//
// [WithTopic] and [Topic] choose a topic when the program runs; [TopicPrefix] and
// [MapTopics] let environments share a broker.
//
// # Headers
//
// An event carries headers: its attributes, the fields that the schema names,
// and what [WithHeader] put into the context that it is published with. A
// handler finds them by [FromContext]. Incoming headers are not passed on to the
// events that a handler publishes, except for those that [Propagate] names.
//
// # Publishing without waiting
//
// An [AsyncClient] returns before the broker has accepted the event, and
// publishes in batches. [AsyncClient.Flush] waits for what it holds and returns
// the failures; a program calls [AsyncClient.Close] before it ends.
//
// # Interceptors
//
// [WrapPublish] and [WrapHandle] put code around publishing and around handlers.
// In the box are [PublishTimeout], [HandleTimeout], [LogPublish], [LogHandle] and
// [Dedup]; headers are carried on by the option [Propagate]. OpenTelemetry and
// protovalidate are modules of their own: otelevent, protovalidateevent.
//
// # On the wire
//
// Events are CloudEvents 1.0 in binary mode. The header names below are those in
// a broker.Message; the binding of each transport gives them its own form and
// adds specversion and, for the key, partitionkey.
//
//	ce-id         unique per source: a UUID of version 7, or what WithID says
//	ce-source     the source of the client, a URI reference
//	ce-type       the type in the schema, by default the name of the message
//	ce-time       when it was published, RFC 3339, UTC
//	content-type  application/protobuf, or application/json for protobuf's JSON
//	ce-...        what WithAttribute adds, such as ce-subject
//	tenant, ...   headers from the schema and from the context
//
// Events of a go-micro service are understood, too: they have the headers
// Content-Type and Micro-Topic, perhaps Micro-Id, and no type, which the topic
// stands for. [GoMicroHeaders] writes such headers beside the others.
//
// What becomes of a message that a typed handler does not get:
//
//	no ce-type, no content-type    permanent, ErrNotEvent; see AcceptRaw
//	type without a handler         permanent, ErrType; or acknowledged
//	no ce-id, no ce-source         permanent, ErrInvalidHeader
//	specversion other than 1.0     permanent, ErrInvalidHeader
//	content type without a codec   permanent, ErrCodec
//	body that is something else    permanent, ErrCodec
//	ce-time in another form        handled; Event.Time is zero
//
// What the publisher, the dead letter and the log see of it is a table in
// docs/operations.md.
//
// # Errors
//
// Callers decide by errors.Is; the variables of this package say why something
// failed, [HeaderError], [TypeError] and [CodecError] what was at fault. Each
// error of publishing also says what became of the event: broker.ErrNotDelivered,
// broker.ErrUncertain or broker.ErrRejected. To publish again after ErrUncertain
// without a second event, give both attempts the same [WithID].
//
// # Operation
//
// [Server.Health] is a readiness probe, [Server.Redrive] sends dead letters back.
// What to watch, and what each log line means, is in docs/operations.md.
//
// # Shutdown
//
// [Server.Run] stops when its context ends: it takes no new events, lets running
// handlers finish for the [DrainTimeout], cancels those that remain, and gives
// what had not started back to the queue. [Server.Start] connects the broker if
// it is not connected, and then [Server.Stop] disconnects it. A program that
// only publishes connects and disconnects the broker itself.
package event
