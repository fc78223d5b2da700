package event_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	eventv1 "github.com/micro-event/micro-event/proto/micro/event/v1"
	"github.com/micro-event/micro-event/runtime/broker"
	"github.com/micro-event/micro-event/runtime/event"
)

func TestHealthFollowsTheServerAndItsBroker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := quietBroker()
		s := event.NewServer(b, "billing")
		began := make(chan struct{})
		err := event.Subscribe(s, fieldSpec, func(context.Context, *eventv1.HeaderField) error {
			close(began)
			time.Sleep(time.Minute)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		check := func(when string, want error) {
			t.Helper()
			if err := s.Health(t.Context()); !errors.Is(err, want) {
				t.Errorf("%s: health %v, want %v", when, err, want)
			}
		}
		check("before Start", event.ErrServerStopped)
		if err := s.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		check("running", nil)
		if err := event.NewClient(b, "s").PublishEvent(t.Context(), fieldSpec, field("", "")); err != nil {
			t.Fatal(err)
		}
		<-began
		stopped := make(chan error)
		go func() { stopped <- s.Stop(t.Context()) }()
		synctest.Wait()
		check("draining", event.ErrServerStopped)
		if err := <-stopped; err != nil {
			t.Error(err)
		}
		check("stopped", event.ErrServerStopped)
	})
}

func TestHealthIsThatOfTheBroker(t *testing.T) {
	b := quietBroker()
	s := event.NewServer(b, "billing")
	if err := errors.Join(s.Start(t.Context()), b.Disconnect(t.Context())); err != nil {
		t.Fatal(err)
	}
	if err := s.Health(t.Context()); !errors.Is(err, broker.ErrClosed) {
		t.Errorf("health %v of a server whose broker is closed", err)
	}
	plain := event.NewServer(plainBroker{&loopback{}}, "billing")
	if err := errors.Join(plain.Start(t.Context()), plain.Health(t.Context())); err != nil {
		t.Errorf("health %v with a broker that cannot tell", err)
	}
}

func TestRedriveSendsDeadLettersBackToTheirQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := quietBroker()
		s := event.NewServer(b, "billing", event.TopicPrefix("test."))
		var mu sync.Mutex // handlers of different queues run at once
		broken := true
		counts := map[string]int{}
		handler := func(queue string) event.Handler[*eventv1.HeaderField] {
			return func(context.Context, *eventv1.HeaderField) error {
				mu.Lock()
				defer mu.Unlock()
				if broken && queue != "audit" {
					return event.Permanent(errors.New("on purpose"))
				}
				counts[queue]++
				return nil
			}
		}
		err := errors.Join(
			event.Subscribe(s, fieldSpec, handler("billing")),
			event.Subscribe(s, fieldSpec, handler("mail"), event.Queue("mail"), event.DeadLetter("mail.dead")),
			event.Subscribe(s, fieldSpec, handler("audit"), event.Queue("audit"), event.NoDeadLetter()),
			s.Start(t.Context()),
		)
		if err != nil {
			t.Fatal(err)
		}
		c := event.NewClient(b, "shop", event.TopicPrefix("test."))
		for range 2 {
			if err := c.PublishEvent(t.Context(), fieldSpec, field("", "")); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Second)
		mu.Lock()
		broken = false
		mu.Unlock()
		sent, err := s.Redrive(t.Context())
		if sent != 4 || err != nil {
			t.Errorf("redrove %d, error %v, want 4", sent, err)
		}
		time.Sleep(time.Second)
		if err := s.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		if counts["billing"] != 2 || counts["mail"] != 2 || counts["audit"] != 2 {
			t.Errorf("handled %v, want each event once by each queue", counts)
		}
	})
}

func TestRedriveWithABrokerThatCannot(t *testing.T) {
	s := event.NewServer(&loopback{}, "billing")
	if _, err := s.Redrive(t.Context()); !errors.Is(err, broker.ErrUnsupported) {
		t.Errorf("error %v, want %v", err, broker.ErrUnsupported)
	}
	s = event.NewServer(quietBroker(), "billing")
	if err := event.Subscribe(s, fieldSpec, ignoreField); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Redrive(t.Context()); !errors.Is(err, broker.ErrNotConnected) {
		t.Errorf("error %v, want %v", err, broker.ErrNotConnected)
	}
}

func TestFaultsSayWhatIsAtFault(t *testing.T) {
	decode := func(replace ...string) error {
		return event.Decode(&broker.Delivery{Message: *wire(t, "\xff", replace...)}, new(eventv1.HeaderField))
	}
	publish := func(ctx context.Context, opts ...event.ClientOption) error {
		return event.NewClient(&loopback{}, "s", opts...).PublishEvent(ctx, fieldSpec, field("", ""))
	}
	for _, tt := range []struct {
		err  error
		want string
	}{
		{decode("ce-id", ""), "ce-id"},
		{decode("ce-specversion", "0.3"), "ce-specversion"},
		{publish(event.WithHeader(t.Context(), "CE-Id", "1")), "ce-id"},
		{publish(event.WithID(t.Context(), "")), "ce-id"},
		{publish(t.Context(), event.Propagate("a b")), "a b"},
	} {
		if e, ok := errors.AsType[*event.HeaderError](tt.err); !ok || e.Name != tt.want {
			t.Errorf("%v: %+v, want header %q", tt.err, e, tt.want)
		}
	}
	if e, ok := errors.AsType[*event.TypeError](decode("ce-type", "shop.Other")); !ok || e.Type != "shop.Other" {
		t.Errorf("type error %+v", e)
	}
	for contentType, err := range map[string]error{
		"text/plain":           decode("content-type", "text/plain"),
		"a b":                  decode("content-type", "a b"),
		"application/protobuf": decode(),
		"application/json":     decode("content-type", "application/json"),
		"text/xml":             publish(t.Context(), event.WithCodec("text/xml")),
	} {
		if e, ok := errors.AsType[*event.CodecError](err); !ok || e.ContentType != contentType {
			t.Errorf("%v: %+v, want content type %q", err, e, contentType)
		}
	}
}
