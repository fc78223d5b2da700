package event_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/micro-event/micro-event/runtime/broker"
	"github.com/micro-event/micro-event/runtime/event"
)

// plainBroker hides all abilities of a loopback but those of the interface.
type plainBroker struct{ broker.Broker }

func twoTopics(t *testing.T, b broker.Broker) *event.Server {
	t.Helper()
	s := event.NewServer(b, "billing")
	err := errors.Join(
		event.Subscribe(s, &event.Spec{Topic: "a", Type: "x"}, ignoreField),
		event.Subscribe(s, &event.Spec{Topic: "b", Type: "x"}, ignoreField),
	)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestStopUndoesWhatStartDid(t *testing.T) {
	unsubscribed := []string{"connect", "subscribe a", "subscribe b", "unsubscribe a", "unsubscribe b"}
	tests := []struct {
		name      string
		connected bool // before Start
		plain     bool // the broker cannot tell whether it is connected
		want      []string
	}{
		{"a broker that Start connected is disconnected", false, false, []string{"connect", "subscribe a", "subscribe b", "disconnect"}},
		{"a broker that was connected stays so", true, false, unsubscribed},
		{"a broker that cannot tell stays connected", false, true, unsubscribed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := &loopback{connected: tt.connected}
			s := twoTopics(t, b)
			if tt.plain {
				s = twoTopics(t, plainBroker{b})
			}
			if err := errors.Join(s.Start(t.Context()), s.Stop(t.Context()), s.Stop(t.Context())); err != nil {
				t.Fatal(err)
			}
			slices.Sort(b.calls[min(3, len(b.calls)):]) // Unsubscribe is called at once for all
			if !slices.Equal(b.calls, tt.want) {
				t.Errorf("calls %q, want %q", b.calls, tt.want)
			}
		})
	}
}

func TestStartThatFailsUndoesWhatItDid(t *testing.T) {
	refused := errors.New("queue is taken")
	for _, connected := range []bool{false, true} {
		b := &loopback{connected: connected, refuse: map[string]error{"b": refused}}
		err := twoTopics(t, b).Start(t.Context())
		want := `event: start billing: subscribe topic "b", queue "billing": queue is taken`
		if !errors.Is(err, refused) || err.Error() != want {
			t.Errorf("error %v, want %s", err, want)
		}
		undo := map[bool]string{false: "disconnect", true: "unsubscribe a"}[connected]
		if calls := []string{"connect", "subscribe a", "subscribe b", undo}; !slices.Equal(b.calls, calls) {
			t.Errorf("calls %q, want %q", b.calls, calls)
		}
		b.refuse = nil
		s := twoTopics(t, b)
		if err := errors.Join(s.Start(t.Context()), s.Stop(t.Context())); err != nil {
			t.Errorf("after the failure: %v", err)
		}
	}
}

func TestStartWithoutAConnection(t *testing.T) {
	b := &loopback{fail: broker.ErrNotConnected}
	err := twoTopics(t, b).Start(t.Context())
	if !errors.Is(err, broker.ErrNotConnected) || !slices.Equal(b.calls, []string{"connect"}) {
		t.Errorf("error %v, calls %q", err, b.calls)
	}
}

func TestStartTwice(t *testing.T) {
	s := twoTopics(t, &loopback{})
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); !errors.Is(err, event.ErrServerStarted) {
		t.Errorf("second Start: %v", err)
	}
	if err := errors.Join(s.Stop(t.Context()), s.Start(t.Context())); err != nil {
		t.Errorf("start after stop: %v", err)
	}
}

func TestServerThatIsNotValidDoesNotStart(t *testing.T) {
	b := &loopback{}
	err := event.NewServer(b, "a b").Start(t.Context())
	if !errors.Is(err, broker.ErrInvalidTopic) || len(b.calls) != 0 {
		t.Errorf("error %v, calls %q", err, b.calls)
	}
	if err := event.NewServer(nil, "s").Start(t.Context()); err == nil {
		t.Error("a server without a broker starts")
	}
}

func TestStopReportsWhatWasCutShort(t *testing.T) {
	s := twoTopics(t, &loopback{connected: true})
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := s.Stop(ctx)
	if !errors.Is(err, context.Canceled) || !strings.HasPrefix(err.Error(), "event: stop billing: ") {
		t.Errorf("error %v", err)
	}
}

func TestRunStopsWhenItsContextEnds(t *testing.T) {
	b := &loopback{}
	s := twoTopics(t, b)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	cancel()
	if err := <-done; err != nil {
		t.Errorf("error %v", err)
	}
	if want := []string{"connect", "subscribe a", "subscribe b", "disconnect"}; !slices.Equal(b.calls, want) {
		t.Errorf("calls %q, want %q", b.calls, want)
	}
}

func TestRunThatCannotStart(t *testing.T) {
	if err := twoTopics(t, &loopback{fail: broker.ErrClosed}).Run(t.Context()); !errors.Is(err, broker.ErrClosed) {
		t.Errorf("error %v", err)
	}
}
