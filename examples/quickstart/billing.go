package main

import (
	"context"
	"errors"
	"log"
	"time"

	ordersv1 "github.com/micro-event/micro-event/examples/gen/shop/orders/v1"
	paymentsv1 "github.com/micro-event/micro-event/examples/gen/shop/payments/v1"
	"github.com/micro-event/micro-event/runtime/event"
)

var errProviderAway = errors.New("payment provider does not answer")

// creditLimit is what customers can pay, in cents.
const creditLimit = 100_00

// billing charges orders.
type billing struct {
	// A publisher of one event says in its type what it can publish.
	captured event.PublisherOf[*paymentsv1.PaymentCaptured]
	failed   event.PublisherOf[*paymentsv1.PaymentFailed]
	out      *log.Logger
}

func newBilling(p event.Publisher, out *log.Logger) *billing {
	return &billing{
		captured: paymentsv1.NewPaymentCapturedPublisher(p),
		failed:   paymentsv1.NewPaymentFailedPublisher(p),
		out:      out,
	}
}

func (b *billing) subscribe(s *event.Server) error {
	return ordersv1.SubscribeOrderCreated(s, b.charge)
}

// charge fails when the provider is away, and the event is tried again. That a
// customer cannot pay is no error: it is an outcome, and published.
func (b *billing) charge(ctx context.Context, e *ordersv1.OrderCreated) error {
	in := event.FromContext(ctx)
	b.out.Printf("billing  handles   OrderCreated %s, attempt %d, headers tenant=%s request=%s",
		e.GetOrderId(), in.Attempt(), in.Header("tenant"), in.Header("request"))

	amount := total(e.GetLineItems())
	if amount.GetMinorUnits() > creditLimit {
		b.out.Printf("billing  publishes PaymentFailed %s", e.GetOrderId())
		return b.failed.Publish(ctx, &paymentsv1.PaymentFailed{
			OrderId: e.GetOrderId(),
			Reason:  paymentsv1.FailureReason_FAILURE_REASON_INSUFFICIENT_FUNDS,
		})
	}
	if in.Attempt() == 1 {
		return event.RetryAfter(errProviderAway, 50*time.Millisecond)
	}
	b.out.Printf("billing  publishes PaymentCaptured %s", e.GetOrderId())
	return b.captured.Publish(ctx, &paymentsv1.PaymentCaptured{
		OrderId: e.GetOrderId(),
		Amount:  amount,
		Method:  &paymentsv1.PaymentCaptured_Card_{Card: &paymentsv1.PaymentCaptured_Card{Network: "visa"}},
	})
}

// total adds up items, which have one currency.
func total(items []*ordersv1.LineItem) *paymentsv1.Money {
	sum := &paymentsv1.Money{}
	for _, item := range items {
		sum.CurrencyCode = item.GetUnitPrice().GetCurrencyCode()
		sum.MinorUnits += item.GetUnitPrice().GetMinorUnits() * int64(item.GetQuantity())
	}
	return sum
}
