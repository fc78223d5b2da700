module github.com/micro-event/micro-event/runtime/broker/rabbitmq

go 1.26.0

require (
	github.com/micro-event/micro-event v0.0.0
	github.com/rabbitmq/amqp091-go v1.16.0 // the client, without its recovery
	go.uber.org/goleak v1.3.0 // tests only: goroutines that are left
)

// The adapter is built against the repository that it is part of; consumers ignore this line.
replace github.com/micro-event/micro-event => ../../..
