package broker

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestSubscribeRefusesWhatCannotWork(t *testing.T) {
	handler := func(context.Context, *Delivery) error { return nil }
	for _, tc := range []struct {
		name    string
		topic   string
		handler Handler
		opts    []SubscribeOption
		want    []string
		is      error
	}{
		{"topic", "a b", handler, nil, []string{`"a b"`, "letters"}, ErrInvalidTopic},
		{"queue", "t", handler, []SubscribeOption{Queue("a/b")}, []string{"option Queue", `"a/b"`}, ErrInvalidTopic},
		{"dead letter", "t", handler, []SubscribeOption{DeadLetter("x*")}, []string{"option DeadLetter"}, ErrInvalidTopic},
		{"own dead letter", "t", handler, []SubscribeOption{DeadLetter("t")}, []string{"its own dead letter"}, nil},
		{"no handler", "t", nil, nil, []string{"handler is nil"}, nil},
		{"in flight", "t", handler, []SubscribeOption{MaxInFlight(0)}, []string{"option MaxInFlight", "got 0"}, nil},
		{"prefetch", "t", handler, []SubscribeOption{Prefetch(-1)}, []string{"option Prefetch", "got -1"}, nil},
		{"window", "t", handler, []SubscribeOption{MaxInFlight(8), Window(4)}, []string{"option Window", "got 4", "8"}, nil},
		{"attempts without dead letter", "t", handler, []SubscribeOption{MaxAttempts(3)}, []string{"option MaxAttempts needs DeadLetter", "DropAfter"}, nil},
		{"negative attempts", "t", handler, []SubscribeOption{MaxAttempts(-1)}, []string{"got -1"}, nil},
		{"drop after nothing", "t", handler, []SubscribeOption{DropAfter(0)}, []string{"option DropAfter: got 0"}, nil},
		{"backoff", "t", handler, []SubscribeOption{Backoff(time.Second, time.Millisecond)}, []string{"option Backoff", "1s to 1ms"}, nil},
		{"deliveries not counted", "t", handler, []SubscribeOption{MaxDeliveries(3)}, []string{"option MaxDeliveries", "fake"}, ErrUnsupported},
		{"dead letter not kept", "t", handler, []SubscribeOption{DeadLetter("dead")}, []string{"option DeadLetter", "fake"}, ErrUnsupported},
		{"all at once", "a b", nil, []SubscribeOption{MaxInFlight(-1)}, []string{`"a b"`, "handler is nil", "got -1"}, ErrInvalidTopic},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := connected(t, newFake(Capabilities{})).Subscribe(t.Context(), tc.topic, tc.handler, tc.opts...)
			if err == nil {
				t.Fatal("no error")
			}
			if tc.is != nil && !errors.Is(err, tc.is) {
				t.Errorf("%v does not match %v", err, tc.is)
			}
			for _, want := range tc.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%v lacks %q", err, want)
				}
			}
		})
	}
}

func TestSubscribeNeedsAConnection(t *testing.T) {
	e := New(newFake(Capabilities{}), quiet())
	_, err := e.Subscribe(t.Context(), "t", func(context.Context, *Delivery) error { return nil })
	if !errors.Is(err, ErrNotConnected) {
		t.Errorf("before Connect: %v, want ErrNotConnected", err)
	}
}

func TestDefaults(t *testing.T) {
	o := NewSubscribeOptions()
	want := SubscribeOptions{MaxInFlight: 1, Window: 64, BackoffMin: 100 * time.Millisecond, BackoffMax: 30 * time.Second}
	if o != want {
		t.Errorf("defaults %+v, want %+v", o, want)
	}
	if o := NewSubscribeOptions(MaxInFlight(100)); o.Window != 400 {
		t.Errorf("window %d for 100 in flight, want 400", o.Window)
	}
	if o := NewSubscribeOptions(Prefetch(100)); o.Window != 101 {
		t.Errorf("window %d for 100 ahead, want 101", o.Window)
	}
}

func TestDriverOptionsReachOnlyTheirDriver(t *testing.T) {
	e := New(newFake(Capabilities{}), quiet(), DriverOption(42))
	if err := e.Connect(t.Context()); !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), "int") {
		t.Errorf("Connect with a foreign option: %v, want ErrUnsupported that names it", err)
	}
	if err := New(newFake(Capabilities{})).Init(DriverOption(io.EOF)); !errors.Is(err, ErrUnsupported) {
		t.Errorf("Init with a foreign option: %v, want ErrUnsupported", err)
	}
}

func TestInitIsRefusedWhileConnected(t *testing.T) {
	e := connected(t, newFake(Capabilities{}))
	if err := e.Init(MaxMessageBytes(1)); !errors.Is(err, ErrUnsupported) {
		t.Errorf("got %v, want ErrUnsupported", err)
	}
}

func TestMaxMessageBytes(t *testing.T) {
	d := newFake(Capabilities{})
	d.info.MaxMessageBytes = 1000
	if err := New(d, quiet(), MaxMessageBytes(1001)).Connect(t.Context()); !errors.Is(err, ErrUnsupported) {
		t.Errorf("more than the transport takes: %v, want ErrUnsupported", err)
	}
	if err := New(d, quiet(), MaxMessageBytes(-1)).Connect(t.Context()); err == nil {
		t.Error("negative limit is accepted")
	}
	e := connected(t, d)
	must(t, e.Publish(t.Context(), "t", &Message{Body: make([]byte, 1000)}))
	if err := e.Publish(t.Context(), "t", &Message{Body: make([]byte, 1001)}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("above the transport's limit: %v, want ErrTooLarge", err)
	}
	e = connected(t, d, MaxMessageBytes(10))
	if err := e.Publish(t.Context(), "t", &Message{Body: make([]byte, 11)}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("above the option: %v, want ErrTooLarge", err)
	}
}

func TestConnectErrorLeavesTheBrokerUnconnected(t *testing.T) {
	d := newFake(Capabilities{})
	d.connectErr = errors.New("refused")
	e := New(d, quiet())
	if err := e.Connect(t.Context()); err == nil || !strings.Contains(err.Error(), "connect fake: refused") {
		t.Errorf("got %v, want the driver's error", err)
	}
	if e.Connected() {
		t.Error("connected after an error")
	}
	if err := e.Health(t.Context()); !errors.Is(err, ErrNotConnected) {
		t.Errorf("health: %v, want ErrNotConnected", err)
	}
}

func TestBackoffDoublesWithinItsBounds(t *testing.T) {
	lowest, highest := 100*time.Millisecond, 30*time.Second
	var seen []time.Duration
	for failures := 1; failures <= 12; failures++ {
		base := min(lowest<<(failures-1), highest)
		d := backoff(lowest, highest, failures)
		if d < max(lowest, base*3/4) || d > min(highest, base+base/4) {
			t.Errorf("after %d failures: %v, want about %v", failures, d, base)
		}
		seen = append(seen, d)
	}
	if slices.Max(seen) > highest || backoff(lowest, highest, 1<<40) > highest {
		t.Error("above the highest")
	}
	if backoff(0, 0, 5) != 0 {
		t.Error("no backoff, but a delay")
	}
}

func TestErrorsOfHandlers(t *testing.T) {
	cause := errors.New("cause")
	if err := Permanent(cause); !IsPermanent(err) || !errors.Is(err, cause) || IsPermanent(cause) {
		t.Errorf("Permanent: %v", err)
	}
	if Permanent(nil) != nil || RetryAfter(nil, time.Second) != nil || NotDelivered(nil) != nil {
		t.Error("a nil error became one")
	}
	if err := RetryAfter(cause, -time.Second); !errors.Is(err, cause) || !strings.Contains(err.Error(), "0s") {
		t.Errorf("RetryAfter with a negative delay: %v", err)
	}
	if err := (&PanicError{Value: cause}); !errors.Is(err, cause) {
		t.Errorf("PanicError: %v does not match its value", err)
	}
}
