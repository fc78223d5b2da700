package eventtest

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/micro-event/micro-event/runtime/broker"
)

// RecordOf is a [Record] whose event is of type T.
type RecordOf[T proto.Message] struct {
	// Topic is the topic that the event was published to.
	Topic string

	// Event is a copy of the event as it was when it was published.
	Event T

	// Message is what a broker would have got: key, headers and encoded body.
	Message broker.Message
}

// RecordsOf returns copies of the records of events of type T, in order.
func RecordsOf[T proto.Message](r *Recorder) []RecordOf[T] {
	var records []RecordOf[T]
	for _, rec := range r.Records() {
		if e, ok := rec.Event.(T); ok {
			records = append(records, RecordOf[T]{rec.Topic, e, rec.Message})
		}
	}
	return records
}

// Published returns copies of the events of type T that were published, in
// order.
func Published[T proto.Message](r *Recorder) []T {
	var events []T
	for _, rec := range RecordsOf[T](r) {
		events = append(events, rec.Event)
	}
	return events
}

// Wait returns copies of the events of type T as soon as there are at least n:
// for code that publishes from goroutines of its own. When ctx ends first it
// returns those there are, and an error.
func Wait[T proto.Message](ctx context.Context, r *Recorder, n int) ([]T, error) {
	for {
		changed := r.change()
		events := Published[T](r)
		if len(events) >= n {
			return events, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			var none T
			return events, fmt.Errorf("eventtest: wait for %d of %T: %d were published: %w", n, none, len(events), context.Cause(ctx))
		}
	}
}
