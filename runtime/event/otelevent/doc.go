// Package otelevent traces and measures events with OpenTelemetry, by its
// semantic conventions for messaging (version 1.43).
//
//	o, err := otelevent.New(b)
//	client := event.NewClient(b, "shop/orders", event.WrapPublish(o.Publish))
//	server := event.NewServer(b, "billing", event.WrapHandle(o.Handle))
//
// # Spans
//
// Publishing is a span "send <topic>" of kind producer. Its context travels in
// the headers that the propagator writes, such as traceparent. Each attempt to
// handle the event is a span "process <topic>" of kind consumer: a child of the
// producer's, and linked to it, as the conventions ask. What a handler publishes
// with its context belongs to the same trace.
//
// Beside the attributes of messaging they have those of CloudEvents
// (cloudevents.event_type, and where it is known event_id and event_source).
//
// # Metrics
//
//	messaging.client.sent.messages       events that were published, or not: error.type
//	messaging.client.operation.duration  how long that took, in seconds
//	messaging.client.consumed.messages   attempts to handle an event
//	messaging.process.duration           how long those took, in seconds
//
// All have messaging.system, messaging.operation.name, messaging.destination.name
// and, when something failed, error.type; those of handlers also have
// messaging.consumer.group.name, the queue. The error.type of publishing is
// not_delivered, uncertain or rejected; that of handling is permanent, requeue,
// panic, or retry for all other errors.
//
// # Place in the chain
//
// Put it outside of interceptors that fail or skip events, so that those are
// seen. With an AsyncClient the span ends when the event is held. A message that
// cannot be decoded reaches no interceptor; broker.Hooks tell of it.
package otelevent
