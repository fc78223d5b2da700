package gentest_test

import (
	"context"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/micro-event/micro-event/cmd/protoc-gen-micro-event/internal/gentest/hybrid"
	"github.com/micro-event/micro-event/cmd/protoc-gen-micro-event/internal/gentest/opaque"
	"github.com/micro-event/micro-event/cmd/protoc-gen-micro-event/internal/gentest/opaque/opaqueevents"
	"github.com/micro-event/micro-event/cmd/protoc-gen-micro-event/internal/gentest/open"
	memorybroker "github.com/micro-event/micro-event/runtime/broker/memory"
	"github.com/micro-event/micro-event/runtime/event"
	"github.com/micro-event/micro-event/runtime/event/eventtest"
)

func orderPlaced() *open.OrderPlaced {
	return &open.OrderPlaced{
		Customer: &open.OrderPlaced_Customer{Id: 1 << 63},
		Status:   open.Status_STATUS_PAID,
		Total:    -5,
		Payment:  &open.OrderPlaced_Card{Card: "visa"},
	}
}

func TestGeneratedPublishersFollowTheSchema(t *testing.T) {
	rec := eventtest.NewRecorder()
	opaqueEvent := opaque.Sealed_builder{Id: proto.String("s-1"), Number: proto.Int32(7)}.Build()
	tests := []struct {
		name    string
		publish func(context.Context) error
		topic   string
		typ     string
		key     string
		headers map[string]string
	}{
		{
			"values of every kind",
			func(ctx context.Context) error { return open.PublishOrderPlaced(ctx, rec, orderPlaced()) },
			"orders", "micro.event.gentest.open.OrderPlaced", "9223372036854775808",
			map[string]string{"status": "STATUS_PAID", "total": "-5", "gift": "false", "note": "", "card": "visa"},
		},
		{
			"defaults of what is not set, and a number that no value has",
			func(ctx context.Context) error {
				return open.NewOrderPlacedPublisher(rec).Publish(ctx, &open.OrderPlaced{Status: 99})
			},
			"orders", "micro.event.gentest.open.OrderPlaced", "0",
			map[string]string{"status": "99", "total": "0", "gift": "false", "card": ""},
		},
		{
			"no key",
			func(ctx context.Context) error { return open.PublishOrderCancelled(ctx, rec, &open.OrderCancelled{}) },
			"orders", "micro.event.gentest.open.OrderCancelled", "", nil,
		},
		{
			"hybrid API",
			func(ctx context.Context) error {
				return hybrid.PublishRenamed(ctx, rec, hybrid.Renamed_builder{Foo: proto.String("a"), GetFoo: proto.String("b")}.Build())
			},
			"micro.event.gentest.hybrid.Renamed", "micro.event.gentest.hybrid.Renamed", "a",
			map[string]string{"get-foo": "b"},
		},
		{
			"opaque API, in a package of its own",
			func(ctx context.Context) error { return opaqueevents.PublishSealed(ctx, rec, opaqueEvent) },
			opaqueevents.SealedTopic, "micro.event.gentest.opaque.Sealed", "s-1",
			map[string]string{"choice": "7"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rec.Reset()
			if err := tt.publish(t.Context()); err != nil {
				t.Fatal(err)
			}
			got := rec.Records()[0]
			if got.Topic != tt.topic || got.Message.Key != tt.key || got.Message.Header["ce-type"] != tt.typ {
				t.Errorf("got topic %q, key %q, type %q, want %q, %q, %q", got.Topic, got.Message.Key, got.Message.Header["ce-type"], tt.topic, tt.key, tt.typ)
			}
			for name, want := range tt.headers {
				if got, ok := got.Message.Header[name]; got != want || ok != (want != "") {
					t.Errorf("header %q: got %q (set: %v), want %q", name, got, ok, want)
				}
			}
		})
	}
}

func TestGeneratedSubscribersGetTheirEvents(t *testing.T) {
	ctx := t.Context()
	b := memorybroker.New()
	placed, cancelled := make(chan *open.OrderPlaced, 1), make(chan *open.OrderCancelled, 1)
	server := event.NewServer(b, "test")
	if err := open.SubscribeOrderPlaced(server, send(placed)); err != nil {
		t.Fatal(err)
	}
	if err := open.SubscribeOrderCancelled(server, send(cancelled)); err != nil {
		t.Fatal(err)
	}
	if err := server.Start(ctx); err != nil {
		t.Fatal(err)
	}
	client := event.NewClient(b, "test")
	want := orderPlaced()
	if err := open.PublishOrderPlaced(ctx, client, want); err != nil {
		t.Fatal(err)
	}
	if err := open.PublishOrderCancelled(ctx, client, &open.OrderCancelled{}); err != nil {
		t.Fatal(err)
	}
	if got := <-placed; !proto.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	<-cancelled
	if err := server.Stop(ctx); err != nil {
		t.Fatal(err)
	}
}

// send returns a handler that sends its event to c.
func send[T proto.Message](c chan<- T) event.Handler[T] {
	return func(_ context.Context, e T) error {
		c <- e
		return nil
	}
}
