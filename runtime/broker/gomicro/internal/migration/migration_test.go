package migration_test

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	gomicro "go-micro.dev/v5/broker"
	natsmicro "go-micro.dev/v5/broker/nats"

	ordersv1 "github.com/micro-event/micro-event/examples/gen/shop/orders/v1"
	"github.com/micro-event/micro-event/runtime/broker"
	"github.com/micro-event/micro-event/runtime/broker/gomicro/internal/migration"
	"github.com/micro-event/micro-event/runtime/broker/gomicro/internal/natstest"
	httpbroker "github.com/micro-event/micro-event/runtime/broker/http"
)

// step is the shop at one moment.
type step struct {
	*testing.T
	handled chan string // services and the orders that they handled
}

// handle returns the handler of a service.
func (s *step) handle(service string) migration.Handle {
	return func(_ context.Context, e *ordersv1.OrderCreated) error {
		s.handled <- service + " " + e.GetOrderId()
		return nil
	}
}

// old starts a service of go-micro.
func (s *step) old(name string, b gomicro.Broker) {
	s.Helper()
	service, err := migration.OldSubscriber(name, b, s.handle(name))
	s.must(err)
	s.must(service.Server().Start())
	s.Cleanup(func() { s.must(service.Server().Stop()) })
}

// new starts a service of ours.
func (s *step) new(name string, b broker.Broker) {
	s.Helper()
	s.must(b.Connect(s.Context()))
	service, err := migration.NewSubscriber(name, b, s.handle(name))
	s.must(err)
	s.must(service.Start(s.Context()))
	s.Cleanup(func() {
		s.must(service.Stop(context.Background()))
		s.must(b.Disconnect(context.Background()))
	})
}

// publish publishes an order and waits until each service has handled it.
func (s *step) publish(checkout func(context.Context, *ordersv1.OrderCreated) error, services ...string) {
	s.Helper()
	s.must(checkout(s.Context(), &ordersv1.OrderCreated{OrderId: "o-1", TenantId: "acme"}))
	want := make(map[string]bool)
	for _, name := range services {
		want[name+" o-1"] = true
	}
	timeout := time.After(20 * time.Second)
	for len(want) > 0 {
		select {
		case got := <-s.handled:
			if !want[got] {
				s.Errorf("handled: got %q, want one of %v", got, want)
			}
			delete(want, got)
		case <-timeout:
			s.Fatalf("not handled: %v", want)
		}
	}
}

func (s *step) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// ready waits until the server knows what go-micro has subscribed over b.
func (s *step) ready(b gomicro.Broker) {
	s.Helper()
	ours := migration.OnTheirs(b)
	s.must(ours.Connect(s.Context()))
	sub, err := ours.Subscribe(s.Context(), "ready", func(context.Context, *broker.Delivery) error { return nil })
	s.must(err)
	s.must(sub.Unsubscribe(s.Context()))
}

// TestMigration has the services in each step of the page.
func TestMigration(t *testing.T) {
	url := natstest.Start(t)
	theirs := func() gomicro.Broker { return natsmicro.NewNatsBroker(gomicro.Addrs(url)) }
	for name, run := range map[string]func(s *step){
		"all is go-micro": func(s *step) {
			b := theirs()
			s.old("billing", b)
			s.ready(b)
			s.publish(migration.OldCheckout(b), "billing")
		},
		"billing has moved": func(s *step) {
			b := theirs()
			s.must(b.Connect())
			s.new("billing", migration.OnTheirs(theirs()))
			s.publish(migration.OldCheckout(b), "billing")
			s.must(b.Disconnect())
		},
		"checkout has moved, shipping has not": func(s *step) {
			old, b := theirs(), migration.OnTheirs(theirs())
			s.old("shipping", old)
			s.ready(old)
			s.new("billing", b)
			s.publish(migration.NewCheckout(b), "billing", "shipping")
		},
		"the broker has changed, shipping has not": func(s *step) {
			s.old("shipping", migration.OnOurs(httpbroker.New()))
			b := httpbroker.New()
			s.new("billing", b)
			s.publish(migration.NewCheckout(b), "billing", "shipping")
		},
		"all has moved": func(s *step) {
			b := httpbroker.New()
			s.new("billing", b)
			s.new("shipping", httpbroker.New())
			s.publish(migration.NewCheckout(b), "billing", "shipping")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("TMPDIR", t.TempDir()) // where the HTTP broker looks for others
			run(&step{t, make(chan string, 10)})
		})
	}
}

// TestThePageShowsThisCode compares the code blocks of the page's last section.
func TestThePageShowsThisCode(t *testing.T) {
	page := read(t, "../../../../../docs/from-go-micro.md")
	_, section, found := strings.Cut(page, "\n## A worked migration\n")
	if !found {
		t.Fatal("the page has no worked migration")
	}
	source := read(t, "theirs.go") + read(t, "ours.go") + read(t, "../../../../../examples/proto/shop/orders/v1/orders.proto")
	blocks := strings.Split(section, "```")
	if len(blocks) < 10 {
		t.Fatalf("got %d code blocks, want at least 5", len(blocks)/2)
	}
	for i := 1; i < len(blocks); i += 2 {
		_, code, _ := strings.Cut(blocks[i], "\n")
		if !strings.Contains(source, code) {
			t.Errorf("not in the source:\n%s", code)
		}
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
