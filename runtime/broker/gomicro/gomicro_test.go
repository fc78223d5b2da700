package gomicrobroker_test

import (
	"errors"
	"log/slog"
	"testing"

	gomicro "go-micro.dev/v5/broker"
	"go.uber.org/goleak"

	"github.com/micro-event/micro-event/runtime/broker"
	gomicrobroker "github.com/micro-event/micro-event/runtime/broker/gomicro"
	memorybroker "github.com/micro-event/micro-event/runtime/broker/memory"
)

func newMemory(t *testing.T) *broker.Engine {
	t.Helper()
	return memorybroker.New(broker.WithLogger(slog.New(slog.NewTextHandler(t.Output(), nil))))
}

func connect(t *testing.T, b gomicro.Broker) {
	t.Helper()
	if err := b.Connect(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Disconnect(); err != nil {
			t.Error(err)
		}
	})
}

// What go-micro's package config starts as it is imported, sooner or later, and never
// ends.
var (
	startedByConfig = goleak.IgnoreTopFunction("go-micro.dev/v5/config.(*config).run.func2")
	watchedByConfig = goleak.IgnoreTopFunction("go-micro.dev/v5/config/loader/memory.(*memory).Watch.func1")
)

// TestOutcomesOfGoMicroHandlers looks at the attempts that each way to handle a
// message leads to, of two at most.
func TestOutcomesOfGoMicroHandlers(t *testing.T) {
	failure := errors.New("no")
	for name, c := range map[string]struct {
		handle  func(gomicro.Event) error
		opts    []gomicro.SubscribeOption
		dropped error
	}{
		"nil acknowledges":             {func(gomicro.Event) error { return nil }, nil, nil},
		"an error is tried again":      {func(gomicro.Event) error { return failure }, nil, failure},
		"Ack acknowledges":             {gomicro.Event.Ack, []gomicro.SubscribeOption{gomicro.DisableAutoAck()}, nil},
		"Ack wins over an error":       {func(e gomicro.Event) error { return errors.Join(e.Ack(), failure) }, nil, nil},
		"nil without Ack has not done": {func(gomicro.Event) error { return nil }, []gomicro.SubscribeOption{gomicro.DisableAutoAck()}, gomicrobroker.ErrNotAcked},
	} {
		t.Run(name, func(t *testing.T) {
			defer goleak.VerifyNone(t, goleak.IgnoreCurrent(), startedByConfig, watchedByConfig)
			dropped := make(chan error, 1)
			ours := memorybroker.New(broker.WithHooks(broker.Hooks{Dropped: func(p broker.PoisonInfo) { dropped <- p.Err }}))
			b := gomicrobroker.ToGoMicro(ours, gomicrobroker.SubscribeWith(broker.DropAfter(2), broker.Backoff(0, 0)))
			if err := b.Connect(); err != nil {
				t.Fatal(err)
			}
			handled := make(chan gomicro.Event, 8)
			sub, err := b.Subscribe("shop.notes", func(e gomicro.Event) error {
				err := c.handle(e)
				handled <- e
				return err
			}, c.opts...)
			if err != nil {
				t.Fatal(err)
			}
			if err := b.Publish("shop.notes", &gomicro.Message{Header: map[string]string{"Tenant": "acme"}, Body: []byte("x")}); err != nil {
				t.Fatal(err)
			}
			e := <-handled
			if e.Topic() != "shop.notes" || e.Message().Header["Tenant"] != "acme" || string(e.Message().Body) != "x" {
				t.Errorf("got %q %v", e.Topic(), e.Message())
			}
			if c.dropped != nil {
				if got := <-dropped; !errors.Is(got, c.dropped) {
					t.Errorf("dropped for %v, want %v", got, c.dropped)
				}
			}
			if err := errors.Join(sub.Unsubscribe(), sub.Unsubscribe(), b.Disconnect()); err != nil {
				t.Error(err)
			}
			if err := e.Ack(); !errors.Is(err, gomicrobroker.ErrTooLate) {
				t.Errorf("Ack after the handler: got %v, want ErrTooLate", err)
			}
			if want := map[bool]int{true: 0, false: 1}[c.dropped == nil]; len(handled) != want {
				t.Errorf("got %d further attempts, want %d", len(handled), want)
			}
		})
	}
}

func TestWhatOursDoesNotKnowIsRefused(t *testing.T) {
	b := gomicrobroker.ToGoMicro(newMemory(t))
	connect(t, b)
	for name, opt := range map[string]gomicro.Option{"Addrs": gomicro.Addrs("x"), "Secure": gomicro.Secure(true)} {
		if err := b.Init(opt); !errors.Is(err, broker.ErrUnsupported) {
			t.Errorf("Init with %s: got %v, want ErrUnsupported", name, err)
		}
	}
	handle := func(gomicro.Event) error { return nil }
	if _, err := b.Subscribe("shop/notes", handle); !errors.Is(err, broker.ErrInvalidTopic) {
		t.Errorf("Subscribe: got %v, want ErrInvalidTopic", err)
	}
	if err := b.Publish("shop/notes", &gomicro.Message{}); !errors.Is(err, broker.ErrInvalidTopic) {
		t.Errorf("Publish: got %v, want ErrInvalidTopic", err)
	}
	if err := gomicrobroker.ToGoMicro(newMemory(t), gomicrobroker.Timeout(0)).Connect(); err == nil {
		t.Error("Timeout(0): got nil, want an error of Connect")
	}
}

func TestAQueueOfTheirMemoryIsRefused(t *testing.T) {
	b := gomicrobroker.FromGoMicro(gomicro.NewMemoryBroker())
	if err := b.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Subscribe(t.Context(), "shop.notes", nil, broker.Queue("billing")); err == nil {
		t.Error("got nil, want an error")
	}
	if err := b.Disconnect(t.Context()); err != nil {
		t.Error(err)
	}
}
