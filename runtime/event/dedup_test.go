package event_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	eventv1 "github.com/micro-event/micro-event/proto/micro/event/v1"
	"github.com/micro-event/micro-event/runtime/broker"
	"github.com/micro-event/micro-event/runtime/event"
)

// TestDuplicateIsHandledUntilItSucceeded: a failed attempt must not mark the
// event, or its retry would be swallowed.
func TestDuplicateIsHandledUntilItSucceeded(t *testing.T) {
	b := &loopback{}
	var outcomes []error
	fail := errors.New("on purpose")
	results := []error{fail, fail, nil}
	store := event.NewMemoryDedup(10)
	started(t, b, func(context.Context, *eventv1.HeaderField) error {
		err := results[0]
		results = results[1:]
		outcomes = append(outcomes, err)
		return err
	}, event.WrapHandle(event.Dedup(store)))
	c := event.NewClient(b, "shop")
	for range 5 {
		if err := c.PublishEvent(event.WithID(t.Context(), "1"), fieldSpec, field("", "")); err != nil {
			t.Fatal(err)
		}
	}
	if want := []error{fail, fail, nil}; !slices.Equal(outcomes, want) {
		t.Errorf("handled with %v, want %v", outcomes, want)
	}
	if want := []error{fail, fail, nil, nil, nil}; !slices.Equal(b.outcomes, want) {
		t.Errorf("outcomes %v, want %v", b.outcomes, want)
	}
}

func TestEventsWithOtherSourceIDOrQueueAreNoDuplicates(t *testing.T) {
	b := &loopback{}
	s := event.NewServer(b, "billing", event.WrapHandle(event.Dedup(event.NewMemoryDedup(10))))
	var got []string
	note := func(ctx context.Context, _ *eventv1.HeaderField) error {
		e := event.FromContext(ctx)
		got = append(got, fmt.Sprintf("%s %s %s", e.Queue(), e.Source(), e.ID()))
		return nil
	}
	err := errors.Join(
		event.Subscribe(s, fieldSpec, note),
		event.Subscribe(s, fieldSpec, note, event.Queue("audit")),
		event.Subscribe(s, fieldSpec, note, event.Broadcast()),
		s.Start(t.Context()),
	)
	for range 2 {
		for _, source := range []string{"shop", "mall"} {
			err = errors.Join(err, event.NewClient(b, source).PublishEvent(event.WithID(t.Context(), "1"), fieldSpec, field("", "")))
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"billing shop 1", "audit shop 1", " shop 1", "billing mall 1", "audit mall 1", " mall 1"}
	if !slices.Equal(got, want) {
		t.Errorf("handled %q, want %q", got, want)
	}
}

func TestEventsWithoutIDAreAlwaysHandled(t *testing.T) {
	b := &loopback{}
	handled := 0
	started(t, b, func(context.Context, *eventv1.HeaderField) error {
		handled++
		return nil
	}, event.AcceptRaw("application/protobuf"), event.WrapHandle(event.Dedup(event.NewMemoryDedup(1))))
	for range 2 {
		if err := b.Publish(t.Context(), fieldSpec.Topic, &broker.Message{}); err != nil {
			t.Fatal(err)
		}
	}
	if handled != 2 {
		t.Errorf("handled %d times, want 2", handled)
	}
}

func TestMemoryDedupForgetsTheOldest(t *testing.T) {
	for _, limit := range []int{-1, 1, 3} {
		d := event.NewMemoryDedup(limit)
		for i := range 10 {
			d.Mark(t.Context(), event.DedupKey{ID: fmt.Sprint(i)})
			d.Mark(t.Context(), event.DedupKey{ID: fmt.Sprint(i)})
		}
		for i := range 10 {
			seen, err := d.Seen(t.Context(), event.DedupKey{ID: fmt.Sprint(i)})
			if want := i >= 10-max(limit, 1); seen != want || err != nil {
				t.Errorf("limit %d: id %d seen %v, want %v; error %v", limit, i, seen, want, err)
			}
		}
	}
}

type brokenStore struct{ *event.MemoryDedup }

var errStore = errors.New("store is down")

func (brokenStore) Seen(context.Context, event.DedupKey) (bool, error) { return false, errStore }

func TestAttemptFailsWhenTheStoreCannotTell(t *testing.T) {
	b := &loopback{}
	started(t, b, func(context.Context, *eventv1.HeaderField) error {
		t.Error("handled")
		return nil
	}, event.WrapHandle(event.Dedup(brokenStore{})))
	if err := event.NewClient(b, "s").PublishEvent(t.Context(), fieldSpec, field("", "")); err != nil {
		t.Fatal(err)
	}
	if got := b.outcomes[0]; !errors.Is(got, errStore) || broker.IsPermanent(got) {
		t.Errorf("outcome %v, want a failed attempt by %v", got, errStore)
	}
}
