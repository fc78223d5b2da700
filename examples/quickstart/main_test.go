package main

import (
	"context"
	"log"
	"os"
)

func Example() {
	if err := run(context.Background(), os.Stdout); err != nil {
		log.Fatal(err)
	}
	// Output:
	// checkout publishes OrderCreated o-1
	// billing  handles   OrderCreated o-1, attempt 1, headers tenant=acme request=request-for-o-1
	// billing  fails     shop.orders.created, attempt 1: payment provider does not answer (retry after 50ms)
	// billing  handles   OrderCreated o-1, attempt 2, headers tenant=acme request=request-for-o-1
	// billing  publishes PaymentCaptured o-1
	// shipping handles   PaymentCaptured o-1, header request=request-for-o-1
	// shipping publishes ParcelShipped o-1
	// checkout handles   ParcelShipped o-1, key "1", header carrier=CARRIER_POST
	// checkout publishes OrderCreated o-2
	// billing  handles   OrderCreated o-2, attempt 1, headers tenant=acme request=request-for-o-2
	// billing  publishes PaymentFailed o-2
	// shipping handles   PaymentFailed o-2, header reason=FAILURE_REASON_INSUFFICIENT_FUNDS
	// shipping publishes Reservation.Expired o-2
	// checkout handles   Reservation.Expired o-2
}
