package httpbroker_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/micro-event/micro-event/runtime/broker"
	httpbroker "github.com/micro-event/micro-event/runtime/broker/http"
)

// Two brokers, as two processes have them. Without WithRegistry those of one
// user on one machine find each other.
func Example() {
	ctx := context.Background()
	registry := httpbroker.NewMemoryRegistry()
	billing := httpbroker.New(httpbroker.WithRegistry(registry))
	checkout := httpbroker.New(httpbroker.WithRegistry(registry))
	for _, b := range []*broker.Engine{billing, checkout} {
		if err := b.Connect(ctx); err != nil {
			log.Fatal(err)
		}
	}
	_, err := billing.Subscribe(ctx, "shop.orders.created", func(_ context.Context, d *broker.Delivery) error {
		fmt.Println("handled", string(d.Message.Body))
		return nil
	}, broker.Queue("billing"))
	if err != nil {
		log.Fatal(err)
	}
	if err := checkout.Publish(ctx, "shop.orders.created", &broker.Message{Body: []byte("order 1")}); err != nil {
		log.Fatal(err)
	}
	fmt.Println("published")
	for _, b := range []*broker.Engine{checkout, billing} {
		if err := b.Disconnect(ctx); err != nil {
			log.Fatal(err)
		}
	}
	// Output:
	// handled order 1
	// published
}

// A program that has a server already takes messages in it.
func ExampleDriver_Handler() {
	d := httpbroker.NewDriver()
	mux := http.NewServeMux()
	mux.Handle(httpbroker.DeliverPath, d.Handler())
	mux.HandleFunc("/", http.NotFound)
	server := httptest.NewServer(mux)

	ctx := context.Background()
	b := broker.New(d,
		httpbroker.WithRegistry(httpbroker.NewMemoryRegistry()),
		httpbroker.Mounted(server.Listener.Addr().String()))
	if err := b.Connect(ctx); err != nil {
		log.Fatal(err)
	}
	fmt.Println(b.Address() == server.URL)
	if err := b.Disconnect(ctx); err != nil {
		log.Fatal(err)
	}
	server.Close()
	// Output: true
}

// Where nothing can be registered, publishers are told who listens where.
func ExampleNewStaticRegistry() {
	registry, err := httpbroker.NewStaticRegistry(
		httpbroker.Entry{Topic: "shop.orders.created", Queue: "billing", Address: "10.0.0.1:8080"},
		httpbroker.Entry{Topic: "shop.orders.created", Queue: "billing", Address: "10.0.0.2:8080"},
		httpbroker.Entry{Topic: "shop.orders.created", Queue: "shipping"}, // nobody yet: Publish waits
	)
	if err != nil {
		log.Fatal(err)
	}
	b := httpbroker.New(httpbroker.WithRegistry(registry))
	fmt.Println(b.String())
	// Output: http
}
