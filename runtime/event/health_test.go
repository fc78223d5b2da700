package event_test

import (
	"context"
	"errors"
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
