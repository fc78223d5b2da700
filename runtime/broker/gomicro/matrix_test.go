package gomicrobroker_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	gomicro "go-micro.dev/v5/broker"
	natsmicro "go-micro.dev/v5/broker/nats"
	"go-micro.dev/v5/client"
	grpcclient "go-micro.dev/v5/client/grpc"
	"go-micro.dev/v5/metadata"
	"go-micro.dev/v5/registry"
	"go-micro.dev/v5/server"
	grpcserver "go-micro.dev/v5/server/grpc"
	"google.golang.org/protobuf/proto"

	eventv1 "github.com/micro-event/micro-event/proto/micro/event/v1"
	"github.com/micro-event/micro-event/runtime/broker"
	gomicrobroker "github.com/micro-event/micro-event/runtime/broker/gomicro"
	"github.com/micro-event/micro-event/runtime/broker/gomicro/internal/natstest"
	httpbroker "github.com/micro-event/micro-event/runtime/broker/http"
	memorybroker "github.com/micro-event/micro-event/runtime/broker/memory"
	"github.com/micro-event/micro-event/runtime/event"
)

var update = flag.Bool("update", false, "write the table of docs/from-go-micro.md")

var spec = &event.Spec{Topic: "shop.fields", Type: "micro.event.v1.HeaderField"}

func sample() *eventv1.HeaderField { return &eventv1.HeaderField{Name: "acme", Field: "id"} }

// pair is one storage as both sides see it. What is undecodable is reported.
type pair struct {
	theirs gomicro.Broker
	ours   *broker.Engine
}

// newPair makes the pair of a broker; failed is told of each failed handling.
func newPair(kind, url string, failed func(error)) pair {
	hooks := broker.WithHooks(broker.Hooks{
		Dropped: func(p broker.PoisonInfo) { failed(p.Err) },
	})
	quiet := broker.WithLogger(slog.New(slog.DiscardHandler))
	onError := gomicro.ErrorHandler(func(e gomicro.Event) error {
		failed(e.Error())
		return nil
	})
	switch kind {
	case "go-micro memory":
		b := gomicro.NewMemoryBroker(onError)
		return pair{b, gomicrobroker.FromGoMicro(b, hooks, quiet)}
	case "go-micro NATS":
		b := natsmicro.NewNatsBroker(onError, gomicro.Addrs(url))
		return pair{b, gomicrobroker.FromGoMicro(b, hooks, quiet)}
	}
	ours := memorybroker.New(hooks, quiet)
	if kind == "our HTTP" {
		ours = httpbroker.New(hooks, quiet)
	}
	b := gomicrobroker.ToGoMicro(ours, gomicrobroker.SubscribeWith(broker.DropAfter(1)))
	if err := b.Init(onError); err != nil {
		panic(err)
	}
	return pair{b, ours}
}

// theirClients are made for a broker.
var theirClients = map[string]func(client.Option) client.Client{
	"mucp default": func(o client.Option) client.Client { return client.NewClient(o) },
	"mucp protobuf": func(o client.Option) client.Client {
		return client.NewClient(o, client.ContentType("application/protobuf"))
	},
	"grpc default": func(o client.Option) client.Client { return grpcclient.NewClient(o) },
	"grpc json": func(o client.Option) client.Client {
		return grpcclient.NewClient(o, client.ContentType("application/json"))
	},
}

func publish(t *testing.T, p pair, publisher string) error {
	switch publisher {
	case "ours typed", "ours typed, GoMicroHeaders":
		var opts []event.ClientOption
		if publisher != "ours typed" {
			opts = append(opts, event.GoMicroHeaders())
		}
		c := event.NewClient(p.ours, "shop", opts...)
		return c.PublishEvent(event.WithHeader(t.Context(), "tenant", "acme"), spec, sample())
	case "ours raw":
		return p.ours.Publish(t.Context(), spec.Topic, &broker.Message{Header: broker.Header{"tenant": "acme"}, Body: []byte("raw")})
	case "go-micro raw":
		return p.theirs.Publish(spec.Topic, &gomicro.Message{Header: map[string]string{"tenant": "acme"}, Body: []byte("raw")})
	}
	c := theirClients[publisher](client.Broker(p.theirs))
	ctx := metadata.NewContext(t.Context(), metadata.Metadata{"Tenant": "acme"})
	return c.Publish(ctx, c.NewMessage(spec.Topic, sample()))
}

// subscribe starts a subscriber, which says what it got, and returns what stops it.
func subscribe(t *testing.T, p pair, subscriber string, got func(string)) (stop func() error, err error) {
	typed := func(tenant string, e *eventv1.HeaderField) error {
		if !proto.Equal(e, sample()) || tenant != "acme" {
			got(fmt.Sprintf("WRONG: %v, tenant %q", e, tenant))
		} else {
			got("decoded")
		}
		return nil
	}
	switch subscriber {
	case "ours typed":
		s := event.NewServer(p.ours, "billing")
		err := event.Subscribe(s, spec, func(ctx context.Context, e *eventv1.HeaderField) error {
			return typed(event.FromContext(ctx).Header("tenant"), e)
		}, event.Broadcast(), event.NoDeadLetter())
		return func() error { return s.Stop(context.Background()) }, errors.Join(err, s.Start(t.Context()))
	case "ours raw":
		sub, err := p.ours.Subscribe(t.Context(), spec.Topic, func(_ context.Context, d *broker.Delivery) error {
			if d.Message.Header["tenant"]+d.Message.Header["Tenant"] != "acme" {
				got(fmt.Sprintf("WRONG: headers %v", d.Message.Header))
			}
			var m eventv1.HeaderField
			switch err := event.Decode(d, &m); {
			case err == nil && proto.Equal(&m, sample()):
				got("as sent; event.Decode decodes it")
			case string(d.Message.Body) == "raw" && errors.Is(err, event.ErrNotEvent):
				got("as sent; event.Decode: ErrNotEvent")
			default:
				got(fmt.Sprintf("WRONG: %v", err))
			}
			return nil
		})
		return func() error { return sub.Unsubscribe(context.Background()) }, err
	}
	newServer := server.NewServer
	if subscriber == "grpc" {
		newServer = grpcserver.NewServer
	}
	s := newServer(server.Name("billing"), server.Address("127.0.0.1:0"), server.Broker(addressed{p.theirs, p.theirs.Address()}), server.Registry(registry.NewMemoryRegistry()))
	err = s.Subscribe(s.NewSubscriber(spec.Topic, func(ctx context.Context, e *eventv1.HeaderField) error {
		tenant, _ := metadata.Get(ctx, "tenant")
		return typed(tenant, e)
	}))
	return s.Stop, errors.Join(err, s.Start())
}

// addressed has an address that does not change: go-micro's mucp server asks for it when
// it has stopped, while whoever else has the broker may disconnect it.
type addressed struct {
	gomicro.Broker
	address string
}

// Address implements go-micro's Broker.
func (a addressed) Address() string { return a.address }

// cell runs one publisher against one subscriber.
func cell(t *testing.T, kind, url, publisher, subscriber string) string {
	t.Helper()
	results := make(chan string, 8)
	p := newPair(kind, url, func(err error) { results <- "error: " + oneLine(err) })
	if err := errors.Join(p.ours.Connect(t.Context()), p.theirs.Connect()); err != nil {
		t.Fatal(err)
	}
	stop, err := subscribe(t, p, subscriber, func(s string) { results <- s })
	if err != nil {
		t.Fatalf("%s: subscribe %s: %v", kind, subscriber, err)
	}
	if kind == "go-micro NATS" { // go-micro's servers start before the server knows them
		settle(t, p)
	}
	if err := publish(t, p, publisher); err != nil && !errors.Is(err, broker.ErrRejected) {
		t.Errorf("%s: publish %s: %v", kind, publisher, err)
	}
	var result string
	select {
	case result = <-results:
	case <-time.After(10 * time.Second):
		result = "WRONG: nothing"
	}
	if err := errors.Join(stop(), p.ours.Disconnect(context.Background())); err != nil {
		t.Errorf("%s, %s, %s: stop: %v", kind, publisher, subscriber, err)
	}
	return result
}

// settle makes a round trip on the connection that both sides share.
func settle(t *testing.T, p pair) {
	t.Helper()
	sub, err := p.ours.Subscribe(t.Context(), "settle", func(context.Context, *broker.Delivery) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	if err := sub.Unsubscribe(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func oneLine(err error) string {
	return strings.NewReplacer("\u00a0", " ", "\n", " ", "|", "/").Replace(err.Error())
}

func TestMatrix(t *testing.T) {
	url := natstest.Start(t)
	subscribers := []string{"ours typed", "ours raw", "mucp", "grpc"}
	var b strings.Builder
	b.WriteString("| broker | publisher | " + strings.Join(subscribers, " | ") + " |\n|---|---|---|---|---|---|\n")
	for _, kind := range []string{"go-micro memory", "go-micro NATS", "our memory", "our HTTP"} {
		for _, publisher := range []string{
			"ours typed", "ours typed, GoMicroHeaders", "ours raw", "go-micro raw",
			"mucp default", "mucp protobuf", "grpc default", "grpc json",
		} {
			fmt.Fprintf(&b, "| %s | %s |", kind, publisher)
			for _, subscriber := range subscribers {
				got := cell(t, kind, url, publisher, subscriber)
				if strings.HasPrefix(got, "WRONG") {
					t.Errorf("%s, %s, %s: %s", kind, publisher, subscriber, got)
				}
				fmt.Fprintf(&b, " %s |", got)
			}
			b.WriteByte('\n')
		}
	}
	checkPage(t, b.String())
}

// checkPage compares the table in the page, or writes it there.
func checkPage(t *testing.T, table string) {
	t.Helper()
	const page = "../../../docs/from-go-micro.md"
	content, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	text := string(content)
	begin := strings.Index(text, "| broker | publisher |")
	length := strings.Index(text[max(begin, 0):], "\n\n") + 1
	if begin < 0 || length < 1 {
		t.Fatalf("%s has no table of brokers and publishers", page)
	}
	switch there := text[begin : begin+length]; {
	case there == table:
	case *update:
		if err := os.WriteFile(page, []byte(text[:begin]+table+text[begin+length:]), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("%s: got\n%s\nwant\n%s", page, there, table)
	}
}
