// Natsraw does with the bare client what the program nats does.
package main

import (
	"context"
	"log"
	"os"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	ordersv1 "github.com/micro-event/micro-event/examples/gen/shop/orders/v1"
)

func main() {
	ctx := context.Background()
	conn, err := nats.Connect(os.Args[1])
	check(err)
	js, err := jetstream.New(conn)
	check(err)
	stream, err := js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{Name: "orders", Subjects: []string{"orders"}})
	check(err)
	consumer, err := stream.CreateOrUpdateConsumer(ctx, jetstream.ConsumerConfig{Durable: "billing"})
	check(err)
	handled := make(chan struct{}, 1)
	consuming, err := consumer.Consume(func(m jetstream.Msg) {
		check(proto.Unmarshal(m.Data(), new(ordersv1.OrderCreated)))
		check(m.Ack())
		handled <- struct{}{}
	})
	check(err)
	body, err := proto.Marshal(&ordersv1.OrderCreated{OrderId: "o-1"})
	check(err)
	_, err = js.PublishMsg(ctx, &nats.Msg{Subject: "orders", Data: body})
	check(err)
	<-handled
	consuming.Drain()
	check(conn.Drain())
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
