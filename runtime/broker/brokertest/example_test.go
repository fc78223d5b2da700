package brokertest_test

import (
	"context"
	"fmt"

	"github.com/micro-event/micro-event/runtime/broker"
	"github.com/micro-event/micro-event/runtime/broker/brokertest"
	memorybroker "github.com/micro-event/micro-event/runtime/broker/memory"
)

// Two brokers share a driver that lives in this process.
func ExampleShare() {
	ctx := context.Background()
	connection := brokertest.Share(memorybroker.NewDriver())
	subscriber, publisher := broker.New(connection()), broker.New(connection())
	for _, b := range []broker.Broker{subscriber, publisher} {
		if err := b.Connect(ctx); err != nil {
			fmt.Println(err)
			return
		}
	}
	handled := make(chan string)
	_, err := subscriber.Subscribe(ctx, "orders", func(_ context.Context, d *broker.Delivery) error {
		handled <- string(d.Message.Body)
		return nil
	}, broker.Queue("billing"))
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := publisher.Publish(ctx, "orders", &broker.Message{Body: []byte("created")}); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(<-handled)
	for _, b := range []broker.Broker{publisher, subscriber} {
		if err := b.Disconnect(ctx); err != nil {
			fmt.Println(err)
		}
	}
	// Output: created
}
