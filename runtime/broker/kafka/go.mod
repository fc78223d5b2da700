module github.com/micro-event/micro-event/runtime/broker/kafka

go 1.26.0

require (
	github.com/micro-event/micro-event v0.0.0
	github.com/twmb/franz-go v1.22.2 // the client of Kafka, without cgo
	github.com/twmb/franz-go/pkg/kadm v1.19.0 // creates topics, lists and commits offsets
	github.com/twmb/franz-go/pkg/kfake v0.0.0-20260918054303-01f206a7e32c // tests only: a Kafka in the test process
	golang.org/x/sync v0.8.0 // a semaphore whose waiters heed their context
)

require github.com/twmb/franz-go/pkg/kmsg v1.15.0

require (
	github.com/klauspost/compress v1.20.3 // indirect
	github.com/pierrec/lz4/v4 v4.1.33 // indirect
)

replace github.com/micro-event/micro-event => ../../..
