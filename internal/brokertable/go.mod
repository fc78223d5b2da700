module github.com/micro-event/micro-event/internal/brokertable

go 1.26.0

require (
	github.com/micro-event/micro-event v0.0.0
	github.com/micro-event/micro-event/runtime/broker/kafka v0.0.0
	github.com/micro-event/micro-event/runtime/broker/mqtt v0.0.0
	github.com/micro-event/micro-event/runtime/broker/nats v0.0.0
	github.com/micro-event/micro-event/runtime/broker/rabbitmq v0.0.0
	github.com/micro-event/micro-event/runtime/broker/redis v0.0.0
)

require (
	github.com/eclipse/paho.golang v0.23.0 // indirect
	github.com/klauspost/compress v1.20.3 // indirect
	github.com/nats-io/nats.go v1.55.0 // indirect
	github.com/nats-io/nkeys v0.4.17 // indirect
	github.com/nats-io/nuid v1.0.1 // indirect
	github.com/pierrec/lz4/v4 v4.1.33 // indirect
	github.com/rabbitmq/amqp091-go v1.16.0 // indirect
	github.com/redis/rueidis v1.0.79 // indirect
	github.com/twmb/franz-go v1.22.2 // indirect
	github.com/twmb/franz-go/pkg/kadm v1.19.0 // indirect
	github.com/twmb/franz-go/pkg/kmsg v1.15.0 // indirect
	golang.org/x/crypto v0.58.0 // indirect
	golang.org/x/sync v0.8.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
	google.golang.org/protobuf v1.36.12 // indirect
)

// The table is made of the repository that it is part of.
replace (
	github.com/micro-event/micro-event => ../..
	github.com/micro-event/micro-event/runtime/broker/kafka => ../../runtime/broker/kafka
	github.com/micro-event/micro-event/runtime/broker/mqtt => ../../runtime/broker/mqtt
	github.com/micro-event/micro-event/runtime/broker/nats => ../../runtime/broker/nats
	github.com/micro-event/micro-event/runtime/broker/rabbitmq => ../../runtime/broker/rabbitmq
	github.com/micro-event/micro-event/runtime/broker/redis => ../../runtime/broker/redis
)
