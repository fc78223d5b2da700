package httpbroker_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"

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

// A broker that other machines can reach proves who it is with a certificate, and
// wants one of those who publish.
func ExampleTLSFiles() {
	b := httpbroker.New(
		httpbroker.Listen("10.0.0.7:8443"),
		httpbroker.TLSFiles("/etc/orders/tls.crt", "/etc/orders/tls.key", "/etc/orders/ca.crt"),
		httpbroker.Authorize(func(_ context.Context, a httpbroker.Access) error {
			if a.Action == httpbroker.ActionPublish && a.Peer.Name != "checkout.shop.example" {
				return fmt.Errorf("%s may not publish to %s", a.Peer.Name, a.Topic)
			}
			return nil
		}),
	)
	fmt.Println(b.Connect(context.Background()) != nil) // there are no such files here
	// Output: true
}

// Without encryption and authentication a broker that other machines can reach does
// not start.
func ExampleAllowPlaintext() {
	b := httpbroker.New(httpbroker.Listen("192.0.2.1:8080"), httpbroker.AllowPlaintext())
	fmt.Println(b.Connect(context.Background()))
	// Output: broker: connect http: "192.0.2.1:8080" can be reached from other machines, where anybody may publish; use TLSFiles, Bearer or HMAC, or AllowAnonymous to let everybody in
}

// With Ingress anybody who has the token publishes, here with net/http.
func ExampleIngress() {
	ctx := context.Background()
	b := httpbroker.New(
		httpbroker.WithRegistry(httpbroker.NewMemoryRegistry()),
		httpbroker.Ingress(), httpbroker.Bearer("a-token-of-24-bytes-or-more"),
	)
	if err := b.Connect(ctx); err != nil {
		log.Fatal(err)
	}
	_, err := b.Subscribe(ctx, "shop.orders", func(_ context.Context, d *broker.Delivery) error {
		fmt.Println("handled", string(d.Message.Body), "of type", d.Message.Header["ce-type"])
		return nil
	}, broker.Queue("billing"))
	if err != nil {
		log.Fatal(err)
	}
	event := `{"specversion":"1.0","id":"1","source":"shop","type":"order","data":{"order_id":"o-1"}}`
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, b.Address()+httpbroker.IngressPath+"shop.orders", strings.NewReader(event))
	if err != nil {
		log.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/cloudevents+json")
	req.Header.Set("Authorization", "Bearer a-token-of-24-bytes-or-more")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		log.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil {
		log.Fatal(err)
	}
	fmt.Println(resp.Status)
	if err := b.Disconnect(ctx); err != nil {
		log.Fatal(err)
	}
	// Output:
	// handled {"order_id":"o-1"} of type order
	// 204 No Content
}

// Tokens that somebody else issues are asked for and verified by functions; requests
// are signed beside.
func ExampleBearerFunc() {
	ctx := context.Background()
	b := httpbroker.New(
		httpbroker.WithRegistry(httpbroker.NewMemoryRegistry()),
		httpbroker.BearerFunc(
			func(context.Context) (string, error) { return "issued-to-the-checkout-service", nil },
			func(_ context.Context, token string) (string, error) {
				name, known := strings.CutPrefix(token, "issued-to-the-") // yours checks a signature
				if !known {
					return "", errors.New("unknown issuer")
				}
				return name, nil
			}),
		httpbroker.HMAC("whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="),
		httpbroker.Authorize(func(_ context.Context, a httpbroker.Access) error {
			fmt.Printf("%q wants to %s: %s\n", a.Peer.Name, a.Action, a.Topic)
			return nil
		}),
	)
	if err := b.Connect(ctx); err != nil {
		log.Fatal(err)
	}
	handle := func(context.Context, *broker.Delivery) error { return nil }
	if _, err := b.Subscribe(ctx, "shop.orders", handle, broker.Queue("billing")); err != nil {
		log.Fatal(err)
	}
	if err := b.Publish(ctx, "shop.orders", &broker.Message{Body: []byte("o-1")}); err != nil {
		log.Fatal(err)
	}
	if err := b.Disconnect(ctx); err != nil {
		log.Fatal(err)
	}
	// Output:
	// "" wants to subscribe: shop.orders
	// "checkout-service" wants to publish: shop.orders
}
