package event_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	eventv1 "github.com/micro-event/micro-event/proto/micro/event/v1"
	"github.com/micro-event/micro-event/runtime/broker"
	memorybroker "github.com/micro-event/micro-event/runtime/broker/memory"
	"github.com/micro-event/micro-event/runtime/event"
)

func TestFailedAttemptsAreRetriedThenDeadLettered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		b := quietBroker()
		s := event.NewServer(b, "billing")
		var attempts []int
		fail := func(ctx context.Context, e *eventv1.HeaderField) error {
			attempts = append(attempts, event.FromContext(ctx).Attempt())
			if e.GetName() == "panics" {
				panic("on purpose")
			}
			return errors.New("on purpose")
		}
		dead := make(chan *broker.Delivery, 4)
		err := errors.Join(
			event.Subscribe(s, fieldSpec, fail, event.MaxAttempts(3)),
			s.Start(ctx),
		)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.Subscribe(ctx, "billing.dead-letters", func(_ context.Context, d *broker.Delivery) error {
			dead <- d
			return nil
		}, broker.Queue(broker.DeadLetterQueue)); err != nil {
			t.Fatal(err)
		}
		c := event.NewClient(b, "shop")
		foreign := &broker.Message{Body: []byte("hello")}
		err = errors.Join(
			c.PublishEvent(ctx, fieldSpec, field("fails", "k")),
			c.PublishEvent(ctx, fieldSpec, field("panics", "k")),
			b.Publish(ctx, fieldSpec.Topic, foreign),
		)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for range 3 {
			d := <-dead
			var e eventv1.HeaderField
			if err := event.Decode(d, &e); err != nil && !errors.Is(err, event.ErrNotEvent) {
				t.Error(err)
			}
			got = append(got, e.GetName())
		}
		slices.Sort(got)
		if want := []string{"", "fails", "panics"}; !slices.Equal(got, want) {
			t.Errorf("dead letters of %q, want %q", got, want)
		}
		if want := []int{1, 2, 3, 1, 2, 3}; !slices.Equal(attempts, want) {
			t.Errorf("attempts %v, want %v", attempts, want)
		}
		if err := s.Stop(ctx); err != nil || b.Connected() {
			t.Errorf("stop: %v, connected %v", err, b.Connected())
		}
	})
}

func TestServicesGetTheirOwnCopyAndReplicasShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		b := quietBroker()
		if err := b.Connect(ctx); err != nil {
			t.Fatal(err)
		}
		counts := make(chan string, 100)
		for _, service := range []string{"billing", "billing", "shipping"} {
			s := event.NewServer(b, service)
			count := func(context.Context, *eventv1.HeaderField) error {
				counts <- service
				return nil
			}
			broadcast := func(context.Context, *eventv1.HeaderField) error {
				counts <- "broadcast"
				return nil
			}
			err := errors.Join(
				event.Subscribe(s, fieldSpec, count),
				event.Subscribe(s, fieldSpec, broadcast, event.Broadcast()),
				s.Start(ctx),
			)
			if err != nil {
				t.Fatal(err)
			}
		}
		c := event.NewClient(b, "shop")
		for range 10 {
			if err := c.PublishEvent(ctx, fieldSpec, field("", "")); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if err := b.Disconnect(ctx); err != nil {
			t.Fatal(err)
		}
		close(counts)
		got := map[string]int{}
		for service := range counts {
			got[service]++
		}
		if got["billing"] != 10 || got["shipping"] != 10 || got["broadcast"] != 30 {
			t.Errorf("handled %v", got)
		}
	})
}

func TestRunDrainsThenCancels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, drain := range []time.Duration{0, time.Hour} {
			b := quietBroker()
			s := event.NewServer(b, "billing", event.DrainTimeout(drain))
			began, ended := make(chan struct{}), make(chan error, 1)
			err := event.Subscribe(s, fieldSpec, func(ctx context.Context, _ *eventv1.HeaderField) error {
				close(began)
				select {
				case <-ctx.Done():
				case <-time.After(time.Minute):
				}
				ended <- ctx.Err()
				return ctx.Err()
			})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error)
			go func() { done <- s.Run(ctx) }()
			synctest.Wait()
			if err := event.NewClient(b, "s").PublishEvent(ctx, fieldSpec, field("", "")); err != nil {
				t.Fatal(err)
			}
			<-began
			cancel()
			err, handled := <-done, <-ended
			if cut := drain == 0; (handled != nil) != cut {
				t.Errorf("drain %v: handler %v, Run %v", drain, handled, err)
			}
			if b.Connected() {
				t.Error("the broker is still connected")
			}
		}
	})
}

func TestStopFromAHandler(t *testing.T) {
	for _, connected := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			b := quietBroker()
			if connected {
				if err := b.Connect(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			s := event.NewServer(b, "billing")
			stopped := make(chan error, 2)
			err := errors.Join(event.Subscribe(s, fieldSpec, func(ctx context.Context, _ *eventv1.HeaderField) error {
				stopped <- s.Stop(ctx)
				return nil
			}), s.Start(t.Context()))
			if err != nil {
				t.Fatal(err)
			}
			c := event.NewClient(b, "s")
			for range 2 {
				if err := c.PublishEvent(t.Context(), fieldSpec, field("", "")); err != nil {
					t.Fatal(err)
				}
			}
			if err := <-stopped; !errors.Is(err, broker.ErrInHandler) {
				t.Errorf("Stop in the handler: %v", err)
			}
			if err := s.Start(t.Context()); !errors.Is(err, event.ErrServerStarted) {
				t.Errorf("Start before the end of Stop: %v", err)
			}
			if err := s.Stop(t.Context()); err != nil || b.Connected() != connected {
				t.Errorf("Stop outside: %v, connected %v", err, b.Connected())
			}
			if len(stopped) > 0 {
				t.Error("an event was handled after Stop")
			}
			if err := b.Disconnect(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// quietBroker is an in-process broker that does not log.
func quietBroker() *broker.Engine {
	return memorybroker.New(broker.WithLogger(slog.New(slog.DiscardHandler)))
}
