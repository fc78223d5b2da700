// Kafka publishes and handles an event over Kafka.
package main

import (
	"context"
	"log"
	"os"

	ordersv1 "github.com/micro-event/micro-event/examples/gen/shop/orders/v1"
	kafkabroker "github.com/micro-event/micro-event/runtime/broker/kafka"
	"github.com/micro-event/micro-event/runtime/event"
)

func main() {
	ctx, b := context.Background(), kafkabroker.New(os.Args[1])
	handled := make(chan struct{})
	billing := event.NewServer(b, "billing")
	check(ordersv1.SubscribeOrderCreated(billing, func(context.Context, *ordersv1.OrderCreated) error {
		close(handled)
		return nil
	}))
	check(billing.Start(ctx))
	check(ordersv1.PublishOrderCreated(ctx, event.NewClient(b, "shop"), &ordersv1.OrderCreated{OrderId: "o-1"}))
	<-handled
	check(billing.Stop(ctx))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
