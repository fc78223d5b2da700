package event_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/micro-event/micro-event/runtime/broker"
	"github.com/micro-event/micro-event/runtime/event"
)

// An import publishes many events and then waits for all of them.
func ExampleAsyncClient() {
	ctx, b := context.Background(), &loopback{}
	client := event.NewAsyncClient(event.NewClient(b, "shop"))
	order := wrapperspb.String("")
	for i := range 1000 {
		order.Value = fmt.Sprint("o-", i) // it was encoded already
		if err := PublishOrderCreated(ctx, client, order); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println(client.Flush(ctx), len(b.published))
	fmt.Println(client.Close(ctx))
	// Output:
	// <nil> 1000
	// <nil>
}

// The callback sees what becomes of each event, to log it or to count it.
func ExampleOnResult() {
	ctx, b := context.Background(), quietBroker() // not connected
	client := event.NewAsyncClient(event.NewClient(b, "shop"), event.OnResult(func(r event.AsyncResult) {
		fmt.Println(r.Key, errors.Is(r.Err, broker.ErrNotDelivered))
	}))
	err := PublishOrderCreated(ctx, client, wrapperspb.String("o-1"))
	fmt.Println(err, errors.Is(client.Close(ctx), broker.ErrNotConnected))
	// Output:
	// o-1 true
	// <nil> true
}
