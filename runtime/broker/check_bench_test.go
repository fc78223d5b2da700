package broker

import "testing"

// BenchmarkPrepare is what the engine does to every record before the driver
// sees it.
func BenchmarkPrepare(b *testing.B) {
	s := &settings{maxBytes: DefaultMaxMessageBytes}
	r := &Record{Key: "order-1", Body: make([]byte, 200), Header: []Field{
		{"tenant", "acme"},
		{"channel", "CHANNEL_WEB"},
		{"ce-id", "019abcde-7e2f-7abc-8def-0123456789ab"},
		{"ce-time", "2026-11-25T22:24:38.123456789Z"},
		{"ce-source", "shop/checkout"},
		{"ce-type", "shop.orders.v1.OrderCreated"},
		{"content-type", "application/protobuf"},
	}}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.prepare(r, headerLimits); err != nil {
			b.Fatal(err)
		}
	}
}
