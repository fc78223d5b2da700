package main

import (
	"context"
	"errors"
	"log"

	"github.com/micro-event/micro-event/runtime/broker"
	"github.com/micro-event/micro-event/runtime/event"
)

// shop is the three services together.
type shop struct {
	checkout *checkout
	servers  []*event.Server
}

// newShop wires the services to b. Each has a client to publish with, whose
// source says who it is, and a server whose name is the queue it shares with
// its replicas.
func newShop(b broker.Broker, out *log.Logger) (*shop, error) {
	// Billing and shipping pass the header "request" on from the event they
	// handle to those they publish. Nothing is passed on unless it is named.
	passOn := event.Propagate("request")

	checkout := newCheckout(event.NewClient(b, "shop/checkout"), out)
	billing := newBilling(event.NewClient(b, "shop/billing", passOn), out)
	shipping := newShipping(event.NewClient(b, "shop/shipping", passOn), out)

	s := &shop{checkout: checkout}
	return s, errors.Join(
		s.serve(b, "checkout", checkout.subscribe),
		s.serve(b, "billing", billing.subscribe),
		s.serve(b, "shipping", shipping.subscribe),
	)
}

func (s *shop) serve(b broker.Broker, name string, subscribe func(*event.Server) error) error {
	server := event.NewServer(b, name)
	s.servers = append(s.servers, server)
	return subscribe(server)
}

// start returns when all subscriptions are live.
func (s *shop) start(ctx context.Context) error {
	for _, server := range s.servers {
		if err := server.Start(ctx); err != nil {
			return err
		}
	}
	return nil
}

// stop lets running handlers finish until ctx ends.
func (s *shop) stop(ctx context.Context) error {
	var errs []error
	for _, server := range s.servers {
		errs = append(errs, server.Stop(ctx))
	}
	return errors.Join(errs...)
}

// trade places two orders, one after the other, and waits for the end of each.
func (s *shop) trade(ctx context.Context) error {
	for _, o := range []order{
		{id: "o-1", tenant: "acme", customer: "c-7", sku: "teapot", cents: 3998},
		{id: "o-2", tenant: "acme", customer: "c-8", sku: "samovar", cents: 120000},
	} {
		// A header for every event published with this context.
		ctx := event.WithHeader(ctx, "request", "request-for-"+o.id)
		if err := s.checkout.place(ctx, o); err != nil {
			return err
		}
		select {
		case <-s.checkout.closed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
