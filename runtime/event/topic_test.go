package event_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	eventv1 "github.com/micro-event/micro-event/proto/micro/event/v1"
	"github.com/micro-event/micro-event/runtime/broker"
	"github.com/micro-event/micro-event/runtime/event"
)

func TestPrefixHoldsForPublishersSubscriptionsAndDeadLetters(t *testing.T) {
	b := &loopback{declares: true}
	prefix := event.TopicPrefix("staging.")
	s := event.NewServer(b, "billing", prefix)
	var topics []string
	note := func(ctx context.Context, _ *eventv1.HeaderField) error {
		topics = append(topics, event.FromContext(ctx).Topic())
		return nil
	}
	err := errors.Join(
		event.Subscribe(s, fieldSpec, note),
		event.Subscribe(s, fieldSpec, note, event.Topic("shop.eu"), event.DeadLetter("eu.dead")),
		s.Start(t.Context()),
		event.NewClient(b, "s", prefix).PublishEvent(t.Context(), fieldSpec, field("", "")),
		event.NewClient(b, "s", prefix).PublishEvent(event.WithTopic(t.Context(), "shop.eu"), fieldSpec, field("", "")),
		event.NewClient(b, "s").PublishEvent(t.Context(), fieldSpec, field("", "")),
	)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"staging.shop.fields", "staging.shop.eu"}; !slices.Equal(topics, want) {
		t.Errorf("handled from %q, want %q", topics, want)
	}
	var dead []string
	for _, sub := range b.subs {
		dead = append(dead, sub.options.DeadLetter)
	}
	if want := []string{"staging.billing.dead-letters", "staging.eu.dead"}; !slices.Equal(dead, want) {
		t.Errorf("dead letters %q, want %q", dead, want)
	}
	if fieldSpec.Topic != "shop.fields" {
		t.Errorf("the spec was changed to %q", fieldSpec.Topic)
	}
}

func TestTopicsThatAreMappedToOneShareASubscription(t *testing.T) {
	b := &loopback{}
	one := event.MapTopics(func(string) string { return "all" })
	s := event.NewServer(b, "billing", one)
	other := &event.Spec{Topic: "shop.options", Type: optionsSpec.Type}
	err := errors.Join(event.Subscribe(s, fieldSpec, ignoreField), event.Subscribe(s, other, ignoreOptions), s.Start(t.Context()))
	if err != nil || len(b.subs) != 1 || b.subs[0].topic != "all" {
		t.Errorf("error %v, %d subscriptions", err, len(b.subs))
	}
}

func TestInvalidTopicsAreRefused(t *testing.T) {
	spaces := event.MapTopics(func(string) string { return "a b" })
	// A broker checks topics itself, so this one does not need to.
	publish := func(ctx context.Context, opts ...event.ClientOption) error {
		return event.NewClient(quietBroker(), "s", opts...).PublishEvent(ctx, fieldSpec, field("", ""))
	}
	for name, err := range map[string]error{
		"context":   publish(event.WithTopic(t.Context(), "a b")),
		"none":      publish(event.WithTopic(t.Context(), "")),
		"mapping":   publish(t.Context(), spaces),
		"server":    event.Subscribe(event.NewServer(&loopback{}, "s", spaces), fieldSpec, ignoreField),
		"subscribe": event.Subscribe(event.NewServer(&loopback{}, "s"), fieldSpec, ignoreField, event.Topic("a..b")),
	} {
		if !errors.Is(err, broker.ErrInvalidTopic) {
			t.Errorf("%s: error %v, want %v", name, err, broker.ErrInvalidTopic)
		}
	}
}

func TestTopicOfTheContextIsNoHeaderAndEndsAtTheHandler(t *testing.T) {
	b := &loopback{}
	c := event.NewClient(b, "s")
	ctx := event.WithTopic(event.WithTopic(event.WithHeader(t.Context(), "note", "x"), "first"), "second")
	if err := c.PublishEvent(ctx, fieldSpec, field("", "")); err != nil {
		t.Fatal(err)
	}
	if h := b.published[0].Header; len(h) != 6 || h["note"] != "x" {
		t.Errorf("headers %v", h)
	}
	inner := event.NewContext(ctx, &broker.Delivery{})
	var topics []string
	record := func(next event.PublishFunc) event.PublishFunc { return next }
	_, err := b.Subscribe(t.Context(), "shop.fields", func(_ context.Context, d *broker.Delivery) error {
		topics = append(topics, d.Topic)
		return nil
	})
	err = errors.Join(err, event.NewClient(b, "s", event.WrapPublish(record)).PublishEvent(inner, fieldSpec, field("", "")))
	if err != nil || len(topics) != 1 {
		t.Errorf("error %v, topics %q, want that of the schema", err, topics)
	}
}
