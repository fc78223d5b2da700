package eventtest_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/micro-event/micro-event/runtime/broker"
	memorybroker "github.com/micro-event/micro-event/runtime/broker/memory"
	"github.com/micro-event/micro-event/runtime/event"
	"github.com/micro-event/micro-event/runtime/event/eventtest"
)

var errFault = errors.New("on purpose")

// unkeyed is textSpec without its key, so that what is published is handled in
// the order of its arrival.
var unkeyed = &event.Spec{Topic: "texts", Type: textSpec.Type}

// exchange publishes the letters and returns what was handled and the errors.
func exchange(t *testing.T, letters string, faults ...eventtest.Fault) (handled string, errs []error) {
	t.Helper()
	b := eventtest.NewBroker(t, faults...)
	s := event.NewServer(b, "billing")
	err := errors.Join(event.Subscribe(s, unkeyed, func(_ context.Context, e *wrapperspb.StringValue) error {
		handled += e.GetValue()
		return nil
	}), s.Start(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	c := event.NewClient(b, "shop")
	for _, letter := range letters {
		errs = append(errs, c.PublishEvent(t.Context(), unkeyed, wrapperspb.String(string(letter))))
	}
	synctest.Wait()
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	return handled, errs
}

func TestFaults(t *testing.T) {
	refused := errors.Join(broker.ErrRejected, errFault)
	tests := []struct {
		name   string
		faults []eventtest.Fault
		want   string
		errs   map[int]error // by place, the first being 1
	}{
		{"none", nil, "abcd", nil},
		{"fail", []eventtest.Fault{eventtest.Fail(2, errFault), eventtest.Fail(4, refused)}, "ac", map[int]error{2: broker.ErrNotDelivered, 4: broker.ErrRejected}},
		{"lose the acknowledgement", []eventtest.Fault{eventtest.LoseAck(2, errFault)}, "abcd", map[int]error{2: broker.ErrUncertain}},
		{"lose it because of the end", []eventtest.Fault{eventtest.LoseAck(2, fmt.Errorf("%w: %w", broker.ErrClosed, errFault))}, "abcd", map[int]error{2: broker.ErrUncertain}},
		{"duplicate", []eventtest.Fault{eventtest.Duplicate(1)}, "aabcd", nil},
		{"reorder", []eventtest.Fault{eventtest.Reorder(2)}, "acbd", nil},
		{"reorder the last", []eventtest.Fault{eventtest.Reorder(4)}, "abc", nil},
		{"reorder two in a row", []eventtest.Fault{eventtest.Reorder(1), eventtest.Reorder(2)}, "cabd", nil},
		{"several at once", []eventtest.Fault{eventtest.Reorder(1), eventtest.Duplicate(1)}, "baacd", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				got, errs := exchange(t, "abcd", tt.faults...)
				if got != tt.want {
					t.Errorf("handled %q, want %q", got, tt.want)
				}
				for i, err := range errs {
					if want := tt.errs[i+1]; !errors.Is(err, want) || want != nil && !errors.Is(err, errFault) {
						t.Errorf("message %d: error %v, want %v", i+1, err, want)
					}
				}
			})
		})
	}
}

func TestDuplicateThatFailsTheSecondTime(t *testing.T) {
	inner := eventtest.InjectFaults(memorybroker.NewDriver(), eventtest.Fail(2, errFault))
	b := broker.New(eventtest.InjectFaults(inner, eventtest.Duplicate(1)))
	if err := errors.Join(b.Connect(t.Context()), b.DeclareQueue(t.Context(), "t", "q")); err != nil {
		t.Fatal(err)
	}
	err := b.Publish(t.Context(), "t", &broker.Message{})
	if !errors.Is(err, broker.ErrUncertain) || errors.Is(err, broker.ErrNotDelivered) || !errors.Is(err, errFault) {
		t.Errorf("got %v, want ErrUncertain and the fault", err)
	}
	if err := b.Disconnect(context.WithoutCancel(t.Context())); err != nil {
		t.Error(err)
	}
}

func TestDelayTakesItsTimeOrThatOfTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := eventtest.NewBroker(t, eventtest.Delay(1, time.Minute), eventtest.Delay(2, time.Minute))
		if err := b.DeclareQueue(t.Context(), "texts", "billing"); err != nil {
			t.Fatal(err)
		}
		c := event.NewClient(b, "shop")
		began := time.Now()
		if err := c.PublishEvent(t.Context(), textSpec, wrapperspb.String("a")); err != nil || time.Since(began) != time.Minute {
			t.Errorf("error %v after %v", err, time.Since(began))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := c.PublishEvent(ctx, textSpec, wrapperspb.String("a"))
		if !errors.Is(err, broker.ErrNotDelivered) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
	})
}

// linkDriver has what the memory driver lacks.
type linkDriver struct {
	broker.Driver
	watched bool
}

func (d *linkDriver) WatchLink(func(lost error)) { d.watched = true }
func (d *linkDriver) Ping(context.Context) error { return errFault }

func TestAbilitiesOfTheDriverStay(t *testing.T) {
	d := &linkDriver{Driver: memorybroker.NewDriver()}
	b := broker.New(eventtest.InjectFaults(d))
	if err := b.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := b.Health(t.Context()); !errors.Is(err, errFault) || !d.watched {
		t.Errorf("health %v, watched %v", err, d.watched)
	}
	memory := broker.New(eventtest.InjectFaults(memorybroker.NewDriver()), memorybroker.Capacity(1))
	if err := errors.Join(memory.Connect(t.Context()), memory.Health(t.Context())); err != nil {
		t.Errorf("memory: %v", err)
	}
	unknown := broker.New(eventtest.InjectFaults(d), memorybroker.Capacity(1))
	if err := unknown.Connect(t.Context()); !errors.Is(err, broker.ErrUnsupported) {
		t.Errorf("an option that the driver does not know: %v", err)
	}
}

func TestIDsAndClock(t *testing.T) {
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	rec := eventtest.NewRecorder(event.WithIDSource(eventtest.IDs("id-")), event.WithClock(eventtest.Clock(start, time.Second)))
	for range 2 {
		if err := rec.PublishEvent(t.Context(), flagSpec, wrapperspb.Bool(true)); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for _, r := range rec.Records() {
		got = append(got, r.Message.Header["ce-id"], r.Message.Header["ce-time"])
	}
	if want := []string{"id-1", "2026-01-02T03:04:05Z", "id-2", "2026-01-02T03:04:06Z"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := eventtest.NewRecorder()
		go func() {
			for range 3 {
				time.Sleep(time.Second)
				if err := rec.PublishEvent(t.Context(), flagSpec, wrapperspb.Bool(true)); err != nil {
					t.Error(err)
				}
			}
		}()
		began := time.Now()
		got, err := eventtest.Wait[*wrapperspb.BoolValue](t.Context(), rec, 2)
		if len(got) != 2 || err != nil || time.Since(began) != 2*time.Second {
			t.Errorf("%d events and error %v after %v", len(got), err, time.Since(began))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		got, err = eventtest.Wait[*wrapperspb.BoolValue](ctx, rec, 4)
		const want = "eventtest: wait for 4 of *wrapperspb.BoolValue: 3 were published: context deadline exceeded"
		if len(got) != 3 || err == nil || err.Error() != want {
			t.Errorf("%d events, error %v, want %s", len(got), err, want)
		}
	})
}
