package main

import (
	"context"
	"errors"
	"log"
	"sync/atomic"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	ordersv1 "github.com/micro-event/micro-event/examples/gen/shop/orders/v1"
	paymentsv1 "github.com/micro-event/micro-event/examples/gen/shop/payments/v1"
	shippingv1 "github.com/micro-event/micro-event/examples/gen/shop/shipping/v1"
	"github.com/micro-event/micro-event/runtime/event"
)

// shipping sends what is paid, and puts back what will not be.
type shipping struct {
	publisher event.Publisher
	out       *log.Logger
	parcels   atomic.Int64
}

func newShipping(p event.Publisher, out *log.Logger) *shipping {
	return &shipping{publisher: p, out: out}
}

// subscribe registers two events that share the topic "shop.payments". They
// arrive through one subscription, so they keep their order.
func (s *shipping) subscribe(server *event.Server) error {
	return errors.Join(
		paymentsv1.SubscribePaymentCaptured(server, s.send),
		paymentsv1.SubscribePaymentFailed(server, s.putBack),
	)
}

func (s *shipping) send(ctx context.Context, e *paymentsv1.PaymentCaptured) error {
	s.out.Printf("shipping handles   PaymentCaptured %s, header request=%s",
		e.GetOrderId(), event.FromContext(ctx).Header("request"))
	s.out.Printf("shipping publishes ParcelShipped %s", e.GetOrderId())
	return shippingv1.PublishParcelShipped(ctx, s.publisher, &shippingv1.ParcelShipped{
		OrderId: proto.String(e.GetOrderId()),
		Parcel: &shippingv1.Parcel{
			Number:  proto.Int64(s.parcels.Add(1)),
			Carrier: shippingv1.Carrier_CARRIER_POST.Enum(),
		},
		ShipTime: timestamppb.Now(),
	})
}

func (s *shipping) putBack(ctx context.Context, e *paymentsv1.PaymentFailed) error {
	s.out.Printf("shipping handles   PaymentFailed %s, header reason=%s",
		e.GetOrderId(), event.FromContext(ctx).Header("reason"))
	s.out.Printf("shipping publishes Reservation.Expired %s", e.GetOrderId())
	return ordersv1.PublishReservation_Expired(ctx, s.publisher, &ordersv1.Reservation_Expired{
		Reservation: &ordersv1.Reservation{OrderId: e.GetOrderId()},
	})
}
