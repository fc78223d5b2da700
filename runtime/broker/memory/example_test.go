package memorybroker_test

import (
	"context"
	"fmt"

	"github.com/micro-event/micro-event/runtime/broker"
	memorybroker "github.com/micro-event/micro-event/runtime/broker/memory"
)

func Example() {
	ctx := context.Background()
	b := memorybroker.New()
	if err := b.Connect(ctx); err != nil {
		fmt.Println(err)
		return
	}
	handled := make(chan struct{})
	_, err := b.Subscribe(ctx, "orders", func(_ context.Context, d *broker.Delivery) error {
		fmt.Printf("%s %s: %s\n", d.Topic, d.Message.Key, d.Message.Body)
		close(handled)
		return nil
	}, broker.Queue("billing"))
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := b.Publish(ctx, "orders", &broker.Message{Key: "o-1", Body: []byte("created")}); err != nil {
		fmt.Println(err)
		return
	}
	<-handled
	if err := b.Disconnect(ctx); err != nil {
		fmt.Println(err)
	}
	// Output: orders o-1: created
}
