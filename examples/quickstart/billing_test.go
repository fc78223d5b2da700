package main

import (
	"errors"
	"io"
	"log"
	"testing"

	ordersv1 "github.com/micro-event/micro-event/examples/gen/shop/orders/v1"
	paymentsv1 "github.com/micro-event/micro-event/examples/gen/shop/payments/v1"
	"github.com/micro-event/micro-event/runtime/broker"
	"github.com/micro-event/micro-event/runtime/event"
	"github.com/micro-event/micro-event/runtime/event/eventtest"
)

func TestChargePublishesTheOutcome(t *testing.T) {
	for _, test := range []struct {
		name             string
		cents            int64
		attempt          int
		err              error
		captured, failed int
	}{
		{"provider away", 3998, 1, errProviderAway, 0, 0},
		{"second attempt", 3998, 2, nil, 1, 0},
		{"customer cannot pay", 120000, 1, nil, 0, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			rec := eventtest.NewRecorder()
			b := newBilling(rec, log.New(io.Discard, "", 0))
			// A handler is a function: call it. Its context says which attempt it is.
			ctx := event.NewContext(t.Context(), &broker.Delivery{Attempt: test.attempt})

			err := b.charge(ctx, orderOver(test.cents))
			if !errors.Is(err, test.err) {
				t.Errorf("charge: %v, want %v", err, test.err)
			}
			captured := len(eventtest.Published[*paymentsv1.PaymentCaptured](rec))
			failed := len(eventtest.Published[*paymentsv1.PaymentFailed](rec))
			if captured != test.captured || failed != test.failed {
				t.Errorf("published %d captured and %d failed, want %d and %d", captured, failed, test.captured, test.failed)
			}
		})
	}
}

func orderOver(cents int64) *ordersv1.OrderCreated {
	return &ordersv1.OrderCreated{
		OrderId: "o-1",
		LineItems: []*ordersv1.LineItem{{
			Quantity:  1,
			UnitPrice: &paymentsv1.Money{CurrencyCode: "EUR", MinorUnits: cents},
		}},
	}
}
