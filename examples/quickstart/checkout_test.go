package main

import (
	"io"
	"log"
	"testing"

	ordersv1 "github.com/micro-event/micro-event/examples/gen/shop/orders/v1"
	"github.com/micro-event/micro-event/runtime/event/eventtest"
)

func TestPlacePublishesOrderCreated(t *testing.T) {
	rec := eventtest.NewRecorder()
	c := newCheckout(rec, log.New(io.Discard, "", 0))

	o := order{id: "o-1", tenant: "acme", customer: "c-7", sku: "teapot", cents: 3998}
	if err := c.place(t.Context(), o); err != nil {
		t.Fatalf("place(%+v): %v", o, err)
	}

	got := eventtest.Published[*ordersv1.OrderCreated](rec)
	if len(got) != 1 {
		t.Fatalf("published %d OrderCreated, want 1", len(got))
	}
	if e := got[0]; e.GetOrderId() != o.id || e.GetTenantId() != o.tenant {
		t.Errorf("published %v, want the order %+v", e, o)
	}
}
