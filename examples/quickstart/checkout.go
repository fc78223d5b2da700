package main

import (
	"context"
	"errors"
	"log"

	"google.golang.org/protobuf/types/known/timestamppb"

	ordersv1 "github.com/micro-event/micro-event/examples/gen/shop/orders/v1"
	paymentsv1 "github.com/micro-event/micro-event/examples/gen/shop/payments/v1"
	shippingv1 "github.com/micro-event/micro-event/examples/gen/shop/shipping/v1"
	"github.com/micro-event/micro-event/runtime/event"
)

// order is what a customer asks for.
type order struct {
	id, tenant, customer, sku string
	cents                     int64
}

// checkout takes orders and follows them to their end.
type checkout struct {
	publisher event.Publisher // a client, or a recorder in tests
	out       *log.Logger
	closed    chan string // ids of orders that were shipped or given up
}

func newCheckout(p event.Publisher, out *log.Logger) *checkout {
	return &checkout{publisher: p, out: out, closed: make(chan string, 1)}
}

// place publishes that an order was created. When it returns nil, the broker
// has the event.
func (c *checkout) place(ctx context.Context, o order) error {
	c.out.Printf("checkout publishes OrderCreated %s", o.id)
	return ordersv1.PublishOrderCreated(ctx, c.publisher, &ordersv1.OrderCreated{
		OrderId:  o.id,
		TenantId: o.tenant,
		Customer: &ordersv1.Customer{Id: o.customer},
		LineItems: []*ordersv1.LineItem{{
			Sku:       o.sku,
			Quantity:  1,
			UnitPrice: &paymentsv1.Money{CurrencyCode: "EUR", MinorUnits: o.cents},
		}},
		Channel:    ordersv1.Channel_CHANNEL_WEB,
		CreateTime: timestamppb.Now(),
	})
}

func (c *checkout) subscribe(s *event.Server) error {
	return errors.Join(
		shippingv1.SubscribeParcelShipped(s, c.shipped),
		ordersv1.SubscribeReservation_Expired(s, c.expired),
	)
}

func (c *checkout) shipped(ctx context.Context, e *shippingv1.ParcelShipped) error {
	c.out.Printf("checkout handles   ParcelShipped %s, key %q, header carrier=%s",
		e.GetOrderId(), event.FromContext(ctx).Key(), event.FromContext(ctx).Header("carrier"))
	return c.end(ctx, e.GetOrderId())
}

func (c *checkout) expired(ctx context.Context, e *ordersv1.Reservation_Expired) error {
	id := e.GetReservation().GetOrderId()
	c.out.Printf("checkout handles   Reservation.Expired %s", id)
	return c.end(ctx, id)
}

// end tells that an order is over. If the program is about to stop before
// anybody listens, the event goes back to its queue.
func (c *checkout) end(ctx context.Context, id string) error {
	select {
	case c.closed <- id:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
