// Publisher takes orders and publishes them. It needs nothing but a subscriber
// in another terminal:
//
//	go run ./examples/http/subscriber
//	go run ./examples/http/publisher
//
// With -secure DIR, the same for both, each proves to the other who it is: they use
// certificates and a secret in DIR, and make them when DIR does not exist.
//
// Kill and start either as you like: an order that is printed as published was
// handled, one that could not be is tried again under the same id.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	ordersv1 "github.com/micro-event/micro-event/examples/gen/shop/orders/v1"
	"github.com/micro-event/micro-event/examples/http/internal/secrets"
	"github.com/micro-event/micro-event/runtime/broker"
	httpbroker "github.com/micro-event/micro-event/runtime/broker/http"
	"github.com/micro-event/micro-event/runtime/event"
)

func main() {
	count := flag.Int("count", 0, "orders to publish (0: until interrupted)")
	every := flag.Duration("every", 500*time.Millisecond, "time between orders")
	secure := flag.String("secure", "", "directory of certificates and a secret; made if it does not exist")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Stdout, *secure, *count, *every)
	stop()
	if err != nil {
		log.Fatal(err)
	}
}

// run publishes orders until there were enough, or ctx ends.
func run(ctx context.Context, w io.Writer, secure string, count int, every time.Duration) (err error) {
	out := log.New(w, "", 0)
	opts := []broker.Option{broker.WithHooks(broker.Hooks{Connected: func(string, bool) {}})}
	if secure != "" {
		more, err := secrets.Options(secure, "checkout")
		if err != nil {
			return err
		}
		opts = append(opts, more...)
	}
	b := httpbroker.New(opts...)
	if err := b.Connect(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Disconnect(context.WithoutCancel(ctx))) }()
	c := &checkout{publisher: ordersv1.NewOrderCreatedPublisher(event.NewClient(b, "checkout")), out: out}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	begin := time.Now().Unix()
	for i := 1; count == 0 || i <= count; i++ {
		err := c.place(ctx, fmt.Sprintf("o-%d-%d", begin, i))
		if err != nil && !errors.Is(err, context.Canceled) {
			return err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
	}
	return nil
}

// checkout takes orders.
type checkout struct {
	publisher event.PublisherOf[*ordersv1.OrderCreated]
	out       *log.Logger
}

// place publishes an order until somebody has handled it. The id makes that
// harmless when it was handled and the answer was lost.
func (c *checkout) place(ctx context.Context, id string) error {
	ctx = event.WithID(ctx, id)
	for {
		err := c.publisher.Publish(ctx, &ordersv1.OrderCreated{OrderId: id})
		switch {
		case err == nil:
			c.out.Printf("published %s", id)
			return nil
		case errors.Is(err, broker.ErrRejected), ctx.Err() != nil:
			return err
		}
		c.out.Printf("not yet   %s: %v", id, err)
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
