// Subscriber handles orders that the publisher next to it publishes; see there, also
// for -secure.
// Several of them share the orders, since they are one service.
package main

import (
	"context"
	"flag"
	"io"
	"log"
	"os"
	"os/signal"
	"syscall"

	ordersv1 "github.com/micro-event/micro-event/examples/gen/shop/orders/v1"
	"github.com/micro-event/micro-event/examples/http/internal/secrets"
	"github.com/micro-event/micro-event/runtime/broker"
	httpbroker "github.com/micro-event/micro-event/runtime/broker/http"
	"github.com/micro-event/micro-event/runtime/event"
)

func main() {
	secure := flag.String("secure", "", "directory of certificates and a secret; made if it does not exist")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Stdout, *secure)
	stop()
	if err != nil {
		log.Fatal(err)
	}
}

// run handles orders until ctx ends.
func run(ctx context.Context, w io.Writer, secure string) error {
	out := log.New(w, "", 0)
	var opts []broker.Option
	if secure != "" {
		var err error
		if opts, err = secrets.Options(secure, "billing"); err != nil {
			return err
		}
	}
	server := event.NewServer(httpbroker.New(opts...), "billing")
	err := ordersv1.SubscribeOrderCreated(server, func(_ context.Context, e *ordersv1.OrderCreated) error {
		out.Printf("handled   %s", e.GetOrderId())
		return nil
	})
	if err != nil {
		return err
	}
	return server.Run(ctx)
}
