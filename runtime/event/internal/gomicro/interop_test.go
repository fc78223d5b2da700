package gomicro

import (
	"context"
	"errors"
	"log/slog"
	"testing"

	micro "go-micro.dev/v5/broker"
	"go-micro.dev/v5/client"
	grpcclient "go-micro.dev/v5/client/grpc"
	"go-micro.dev/v5/metadata"
	"go-micro.dev/v5/registry"
	"go-micro.dev/v5/server"
	"google.golang.org/protobuf/proto"

	eventv1 "github.com/micro-event/micro-event/proto/micro/event/v1"
	"github.com/micro-event/micro-event/runtime/broker"
	memorybroker "github.com/micro-event/micro-event/runtime/broker/memory"
	"github.com/micro-event/micro-event/runtime/event"
)

var spec = &event.Spec{Topic: "shop.fields", Type: "micro.event.v1.HeaderField"}

func sample() *eventv1.HeaderField { return &eventv1.HeaderField{Name: "acme", Field: "id"} }

// connected returns a broker of go-micro whose messages stay as they are.
func connected(t *testing.T) micro.Broker {
	t.Helper()
	b := micro.NewMemoryBroker()
	if err := b.Connect(); err != nil {
		t.Fatal(err)
	}
	return b
}

// forward is what a bridge does from one broker to the other.
func forward(t *testing.T, from micro.Broker, to broker.Broker) {
	t.Helper()
	_, err := from.Subscribe(spec.Topic, func(e micro.Event) error {
		m := e.Message()
		return to.Publish(t.Context(), spec.Topic, &broker.Message{Header: m.Header, Body: m.Body})
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestWeHandleWhatGoMicroPublishes(t *testing.T) {
	for name, newClient := range map[string]func(...client.Option) client.Client{"RPC": client.NewClient, "gRPC": grpcclient.NewClient} {
		for _, contentType := range []string{
			"application/json", "application/protobuf", "application/grpc", "application/grpc+proto", "application/grpc+json",
		} {
			t.Run(name+" "+contentType, func(t *testing.T) {
				theirs, ours := connected(t), memorybroker.New(broker.WithLogger(slog.New(slog.NewTextHandler(t.Output(), nil))))
				forward(t, theirs, ours)
				s := event.NewServer(ours, "billing")
				handled := make(chan *event.Event, 1)
				err := errors.Join(event.Subscribe(s, spec, func(ctx context.Context, e *eventv1.HeaderField) error {
					if !proto.Equal(e, sample()) {
						t.Errorf("event %v", e)
					}
					handled <- event.FromContext(ctx)
					return nil
				}), s.Start(t.Context()))
				if err != nil {
					t.Fatal(err)
				}
				c := newClient(client.Broker(theirs), client.ContentType(contentType))
				ctx := metadata.NewContext(t.Context(), metadata.Metadata{"Tenant": "acme"})
				if err := c.Publish(ctx, c.NewMessage(spec.Topic, sample())); err != nil {
					t.Fatal(err)
				}
				e := <-handled
				if e.Header("tenant") != "acme" || (e.ID() != "") != (name == "RPC") {
					t.Errorf("tenant %q, id %q", e.Header("tenant"), e.ID())
				}
				if err := s.Stop(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// outbound is a broker of ours that publishes to one of go-micro's.
type outbound struct {
	broker.Broker
	theirs micro.Broker
}

func (b outbound) Publish(_ context.Context, topic string, m *broker.Message, _ ...broker.PublishOption) error {
	return b.theirs.Publish(topic, &micro.Message{Header: m.Header, Body: m.Body})
}

func TestGoMicroHandlesWhatWePublish(t *testing.T) {
	for _, codec := range []event.Codec{event.Protobuf, event.JSON} {
		t.Run(string(codec), func(t *testing.T) {
			theirs := connected(t)
			s := server.NewServer(server.Name("billing"), server.Broker(theirs), server.Registry(registry.NewMemoryRegistry()))
			handled := make(chan string, 1)
			err := s.Subscribe(s.NewSubscriber(spec.Topic, func(ctx context.Context, e *eventv1.HeaderField) error {
				if !proto.Equal(e, sample()) {
					t.Errorf("event %v", e)
				}
				tenant, _ := metadata.Get(ctx, "tenant")
				handled <- tenant
				return nil
			}))
			if err := errors.Join(err, s.Start()); err != nil {
				t.Fatal(err)
			}
			c := event.NewClient(outbound{theirs: theirs}, "shop", event.GoMicroHeaders(), event.WithCodec(codec))
			if err := c.PublishEvent(event.WithHeader(t.Context(), "tenant", "acme"), spec, sample()); err != nil {
				t.Fatal(err)
			}
			if tenant := <-handled; tenant != "acme" {
				t.Errorf("tenant %q", tenant)
			}
			if err := s.Stop(); err != nil {
				t.Error(err)
			}
		})
	}
}
