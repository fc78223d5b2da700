// Subscriber handles orders that the publisher next to it publishes; see there.
// Several of them share the orders, since they are one service.
package main

import (
	"context"
	"io"
	"log"
	"os"
	"os/signal"
	"syscall"

	ordersv1 "github.com/micro-event/micro-event/examples/gen/shop/orders/v1"
	httpbroker "github.com/micro-event/micro-event/runtime/broker/http"
	"github.com/micro-event/micro-event/runtime/event"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Stdout)
	stop()
	if err != nil {
		log.Fatal(err)
	}
}

// run handles orders until ctx ends.
func run(ctx context.Context, w io.Writer) error {
	out := log.New(w, "", 0)
	server := event.NewServer(httpbroker.New(), "billing")
	err := ordersv1.SubscribeOrderCreated(server, func(_ context.Context, e *ordersv1.OrderCreated) error {
		out.Printf("handled   %s", e.GetOrderId())
		return nil
	})
	if err != nil {
		return err
	}
	return server.Run(ctx)
}
