// Package event publishes and handles typed events: protobuf messages whose
// topic, key and headers are options in the schema. Generated code and users
// live here; a [github.com/micro-event/micro-event/runtime/broker.Broker] is
// underneath.
package event
