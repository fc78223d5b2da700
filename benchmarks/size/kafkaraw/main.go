// Kafkaraw does with the bare client what the program kafka does.
package main

import (
	"context"
	"log"
	"os"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"google.golang.org/protobuf/proto"

	ordersv1 "github.com/micro-event/micro-event/examples/gen/shop/orders/v1"
)

func main() {
	ctx := context.Background()
	client, err := kgo.NewClient(kgo.SeedBrokers(os.Args[1]), kgo.ConsumerGroup("billing"), kgo.ConsumeTopics("orders"))
	check(err)
	defer client.Close()
	_, err = kadm.NewClient(client).CreateTopic(ctx, 1, 1, nil, "orders")
	check(err)
	body, err := proto.Marshal(&ordersv1.OrderCreated{OrderId: "o-1"})
	check(err)
	check(client.ProduceSync(ctx, &kgo.Record{Topic: "orders", Value: body}).FirstErr())
	fetches := client.PollFetches(ctx)
	check(fetches.Err())
	for _, r := range fetches.Records() {
		check(proto.Unmarshal(r.Value, new(ordersv1.OrderCreated)))
	}
	check(client.CommitUncommittedOffsets(ctx))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
