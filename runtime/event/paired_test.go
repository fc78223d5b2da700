package event_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	ordersv1 "github.com/micro-event/micro-event/examples/gen/shop/orders/v1"
	paymentsv1 "github.com/micro-event/micro-event/examples/gen/shop/payments/v1"
	"github.com/micro-event/micro-event/runtime/event"
)

// realistic is an event of 200 bytes with messages in it, whose schema sets a key
// and two headers.
func realistic() *ordersv1.OrderCreated {
	money := func(n int64) *paymentsv1.Money { return &paymentsv1.Money{CurrencyCode: "EUR", MinorUnits: n} }
	return &ordersv1.OrderCreated{
		OrderId:  "o-0123456789",
		TenantId: "acme",
		Customer: &ordersv1.Customer{Id: "c-0123456789", Email: proto.String("gopher@shop.example")},
		LineItems: []*ordersv1.LineItem{
			{Sku: "teapot-porcelain-blue", Quantity: 1, UnitPrice: money(3998)},
			{Sku: "samovar-brass-" + strings.Repeat("x", 70), Quantity: 2, UnitPrice: money(120000)},
		},
		Channel: ordersv1.Channel_CHANNEL_WEB,
	}
}

// TestRealisticAllocations holds the budget for an event as services have it: 18
// allocations are those of Marshal and Unmarshal.
func TestRealisticAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector empties pools at random")
	}
	e := realistic()
	floor := testing.AllocsPerRun(1000, func() { marshalAndUnmarshal(t, e) })
	x := newExchange(t)
	all := testing.AllocsPerRun(1000, func() { x.run(t, e, 1) })
	if n := proto.Size(e); n < 190 || n > 210 || floor != 18 {
		t.Errorf("the event has %d bytes and %v allocations of its own, want about 200 and 18", n, floor)
	}
	if all > 20 {
		t.Errorf("publish to handler allocates %v times, want at most 20", all)
	}
}

// exchange is a client and a server in process.
type exchange struct {
	ctx     context.Context
	client  *event.Client
	handled chan struct{}

	_    [64]byte // what the handler writes is on a cache line of its own
	left int      // until handled is told
	_    [64]byte
}

func newExchange(t testing.TB) *exchange {
	t.Helper()
	b := quietBroker()
	s := event.NewServer(b, "billing")
	x := &exchange{client: event.NewClient(b, "shop"), handled: make(chan struct{})}
	x.ctx = event.WithHeader(t.Context(), "request", "r-1")
	err := ordersv1.SubscribeOrderCreated(s, func(ctx context.Context, _ *ordersv1.OrderCreated) error {
		_, _ = event.FromContext(ctx).ID(), event.FromContext(ctx).Header("request")
		if x.left--; x.left == 0 {
			x.handled <- struct{}{}
		}
		return nil
	})
	if err := errors.Join(err, s.Start(t.Context())); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return x
}

// run publishes e n times and waits until it was handled as often.
func (x *exchange) run(t testing.TB, e *ordersv1.OrderCreated, n int) {
	t.Helper()
	x.left = n
	for range n {
		if err := ordersv1.PublishOrderCreated(x.ctx, x.client, e); err != nil {
			t.Fatal(err)
		}
	}
	<-x.handled
}

func marshalAndUnmarshal(t testing.TB, e *ordersv1.OrderCreated) { // Helper would take a sixth of its time
	body, err := proto.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	if err := proto.Unmarshal(body, new(ordersv1.OrderCreated)); err != nil {
		t.Fatal(err)
	}
}

// BenchmarkAgainstFloor takes turns with Marshal and Unmarshal alone, so that
// whatever else the machine does hits both, and reports the median of the ratios.
func BenchmarkAgainstFloor(b *testing.B) {
	const block = 500
	x, e := newExchange(b), realistic()
	var ratios, floors, ours []float64
	for b.Loop() {
		began := time.Now()
		for range block {
			marshalAndUnmarshal(b, e)
		}
		floor := time.Since(began)
		began = time.Now()
		x.run(b, e, block)
		took := time.Since(began)
		ratios = append(ratios, float64(took)/float64(floor))
		floors = append(floors, float64(floor.Nanoseconds())/block)
		ours = append(ours, float64(took.Nanoseconds())/block)
	}
	b.ReportMetric(median(ratios), "x-floor")
	b.ReportMetric(median(floors), "ns/floor")
	b.ReportMetric(median(ours), "ns/event")
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}
