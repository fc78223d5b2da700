// Quickstart is a shop in one process: checkout takes orders, billing charges
// them, shipping sends what is paid. The three know each other's events and
// nothing else, and talk over a broker that lives in memory.
package main

import (
	"context"
	"errors"
	"io"
	"log"
	"os"
	"os/signal"
	"time"

	"github.com/micro-event/micro-event/runtime/broker"
	memorybroker "github.com/micro-event/micro-event/runtime/broker/memory"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Stdout)
	stop()
	if err != nil {
		log.Fatal(err)
	}
}

// run connects the broker, starts the services, places the orders and waits for
// them. When it returns, everything has stopped.
func run(ctx context.Context, w io.Writer) error {
	out := log.New(w, "", 0)
	b := memorybroker.New(broker.WithHooks(broker.Hooks{
		Retry: func(r broker.RetryInfo) {
			out.Printf("%-8s fails     %s, attempt %d: %v", r.Queue, r.Topic, r.Attempt, r.Err)
		},
	}))
	shop, err := newShop(b, out)
	if err != nil {
		return err
	}
	if err := b.Connect(ctx); err != nil {
		return err
	}
	err = shop.start(ctx)
	if err == nil {
		err = shop.trade(ctx)
	}
	return errors.Join(err, bounded(ctx, shop.stop), bounded(ctx, b.Disconnect))
}

// bounded calls what stops something, and gives it ten seconds, also when ctx is
// done: that may be why we stop.
func bounded(ctx context.Context, stop func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return stop(ctx)
}
