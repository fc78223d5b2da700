package cloudevents

import (
	"context"
	"net/http"
	"testing"

	cloudevents "github.com/cloudevents/sdk-go/v2"
	"github.com/cloudevents/sdk-go/v2/binding"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	httpbroker "github.com/micro-event/micro-event/runtime/broker/http"
	"github.com/micro-event/micro-event/runtime/event"
)

// TestTheSDKPublishesThroughTheIngress sends an event of each mode with the SDK's
// HTTP client to a typed handler, and one that nobody subscribes to.
func TestTheSDKPublishesThroughTheIngress(t *testing.T) {
	const token = "a-token-of-24-bytes-or-more"
	b := httpbroker.New(httpbroker.WithRegistry(httpbroker.NewMemoryRegistry()), httpbroker.Ingress(), httpbroker.Bearer(token))
	server := event.NewServer(b, "billing")
	got := make(chan *event.Event, 1)
	values := make(chan string, 1)
	handler := func(ctx context.Context, m *wrapperspb.StringValue) error {
		got <- event.FromContext(ctx)
		values <- m.GetValue()
		return nil
	}
	if err := event.Subscribe(server, spec, handler); err != nil {
		t.Fatal(err)
	}
	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	for name, mode := range map[string]func(context.Context) context.Context{
		"binary": binding.WithForceBinary, "structured": binding.WithForceStructured,
	} {
		t.Run(name, func(t *testing.T) {
			client := sdkClient(t, b.Address()+httpbroker.IngressPath+spec.Topic, token)
			e := sdkEvent(t, "id-"+name)
			if result := client.Send(mode(t.Context()), e); !cloudevents.IsACK(result) {
				t.Fatalf("send: %v", result)
			}
			in := <-got
			if value := <-values; value != "o-1" || in.ID() != e.ID() || in.Source() != e.Source() || in.Key() != "o-1" ||
				in.Header("ce-subject") != `café "x"` {
				t.Errorf("handled %q, id %q, source %q, key %q, subject %q", value, in.ID(), in.Source(), in.Key(), in.Header("ce-subject"))
			}
		})
	}
	client := sdkClient(t, b.Address()+httpbroker.IngressPath+"nobody", token)
	if result := client.Send(t.Context(), sdkEvent(t, "id-nobody")); cloudevents.IsACK(result) {
		t.Error("an event that nobody subscribes to: acknowledged")
	}
	client = sdkClient(t, b.Address()+httpbroker.IngressPath+spec.Topic, token+"?")
	if result := client.Send(t.Context(), sdkEvent(t, "id-stranger")); cloudevents.IsACK(result) {
		t.Error("an event with a wrong token: acknowledged")
	}
	if len(got) > 0 {
		t.Error("one of them was handled")
	}
}

func sdkClient(t *testing.T, target, token string) cloudevents.Client {
	t.Helper()
	client, err := cloudevents.NewClientHTTP(cloudevents.WithTarget(target),
		cloudevents.WithHeader("Authorization", "Bearer "+token), cloudevents.WithRoundTripper(http.DefaultTransport))
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func sdkEvent(t *testing.T, id string) cloudevents.Event {
	t.Helper()
	body, err := proto.Marshal(wrapperspb.String("o-1"))
	if err != nil {
		t.Fatal(err)
	}
	e := cloudevents.NewEvent()
	e.SetID(id)
	e.SetSource("shop/checkout")
	e.SetType(spec.Type)
	e.SetSubject(`café "x"`)
	e.SetExtension("partitionkey", "o-1")
	if err := e.SetData("application/protobuf", body); err != nil {
		t.Fatal(err)
	}
	return e
}
