package natsbroker_test

import (
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	natsbroker "github.com/micro-event/micro-event/runtime/broker/nats"
)

func ExampleNew() {
	b := natsbroker.New("tls://orders:s3cret@nats-1:4222,tls://orders:s3cret@nats-2:4222",
		natsbroker.AckWait(time.Minute),
		natsbroker.Stream(jetstream.StreamConfig{
			Retention: jetstream.InterestPolicy, Discard: jetstream.DiscardNew, Replicas: 3,
		}))
	fmt.Println(b, b.Address())
	// Output: nats tls://nats-1:4222,tls://nats-2:4222
}

func ExampleCore() {
	b := natsbroker.New("nats://localhost:4222", natsbroker.Core())
	fmt.Println(b, "at least once:", b.Info().Capabilities.AtLeastOnce)
	// Output: nats-core at least once: false
}
