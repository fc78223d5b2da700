// Package sample is the event that all sides of a comparison send: 200 bytes with
// messages in it, as services have them.
package sample

import (
	"fmt"
	"strings"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2"
	"google.golang.org/protobuf/proto"

	ordersv1 "github.com/micro-event/micro-event/examples/gen/shop/orders/v1"
	paymentsv1 "github.com/micro-event/micro-event/examples/gen/shop/payments/v1"
	"github.com/micro-event/micro-event/runtime/broker"
)

const (
	// Key is that of all messages: they are in order.
	Key = "o-0123456789"
	// ContentType is that of the body.
	ContentType = "application/protobuf"
)

// Order returns the event.
func Order() *ordersv1.OrderCreated {
	money := func(n int64) *paymentsv1.Money { return &paymentsv1.Money{CurrencyCode: "EUR", MinorUnits: n} }
	return &ordersv1.OrderCreated{
		OrderId:  Key,
		TenantId: "acme",
		Customer: &ordersv1.Customer{Id: "c-0123456789", Email: proto.String("gopher@shop.example")},
		LineItems: []*ordersv1.LineItem{
			{Sku: "teapot-porcelain-blue", Quantity: 1, UnitPrice: money(3998)},
			{Sku: "samovar-brass-" + strings.Repeat("x", 70), Quantity: 2, UnitPrice: money(120000)},
		},
		Channel: ordersv1.Channel_CHANNEL_WEB,
	}
}

// Orders returns events of a thousand orders.
func Orders() []*ordersv1.OrderCreated {
	orders := make([]*ordersv1.OrderCreated, 1000)
	for i := range orders {
		orders[i] = Order()
		orders[i].OrderId = fmt.Sprintf("o-%010d", i)
	}
	return orders
}

// Body is the event on the wire.
func Body() []byte {
	body, err := proto.Marshal(Order())
	if err != nil {
		panic(fmt.Sprint("sample: ", err)) // it has no required fields and valid strings
	}
	return body
}

// Attribute is one of CloudEvents, or a header of the schema.
type Attribute struct{ Name, Value string }

// Attributes are those of the event, without their prefix. All sides send them.
func Attributes() []Attribute {
	return []Attribute{
		{"id", "0198c5f0-7d0c-7000-8000-000000000000"},
		{"source", "shop/orders"},
		{"time", "2026-01-02T03:04:05.678901234Z"},
		{"type", "shop.orders.v1.OrderCreated"},
	}
}

// Headers are what travels beside the body: the attributes with their prefix, the
// content type, and the two that the schema of the event copies from its fields.
func Headers() []Attribute {
	var all []Attribute
	for _, a := range Attributes() {
		all = append(all, Attribute{"ce-" + a.Name, a.Value})
	}
	return append(all, Attribute{"channel", "CHANNEL_WEB"}, Attribute{"content-type", ContentType}, Attribute{"tenant", "acme"})
}

// HeaderMap returns them as a new map, which publishers of most libraries need for each
// message.
func HeaderMap() map[string]string {
	h := make(map[string]string, len(headers))
	for _, a := range headers {
		h[a.Name] = a.Value
	}
	return h
}

// headers are read only.
var headers = Headers()

// CloudEvent is an event with body and those headers that the SDK does not set, its id.
func CloudEvent(body []byte) (cloudevents.Event, error) {
	e := cloudevents.NewEvent()
	e.SetType("shop.orders.v1.OrderCreated")
	e.SetSource("shop/orders")
	e.SetTime(time.Now())
	e.SetExtension("tenant", "acme")
	e.SetExtension("channel", "CHANNEL_WEB")
	err := e.SetData(ContentType, body)
	return e, err
}

// Record is the event as the brokers of this repository take it.
func Record() *broker.Record {
	r := &broker.Record{Key: Key, Body: Body()}
	for _, h := range Headers() {
		r.Header = append(r.Header, broker.Field{Name: h.Name, Value: h.Value})
	}
	return r
}
