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
