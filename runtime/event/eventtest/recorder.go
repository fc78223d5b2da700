package eventtest

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"

	"google.golang.org/protobuf/proto"

	"github.com/micro-event/micro-event/runtime/broker"
	memorybroker "github.com/micro-event/micro-event/runtime/broker/memory"
	"github.com/micro-event/micro-event/runtime/event"
)

// Record is one published event.
type Record struct {
	// Topic is the topic that the event was published to.
	Topic string

	// Event is a copy of the event as it was when it was published.
	Event proto.Message

	// Message is what a broker would have got: key, headers and encoded body.
	Message broker.Message
}

// Recorder is an event.Publisher that keeps what is published. It may be used
// concurrently.
type Recorder struct {
	client *event.Client

	mu      sync.Mutex
	records []Record
	fail    error
	changed chan struct{} // closed with the next record
}

var _ event.Publisher = (*Recorder)(nil)

// NewRecorder returns a recorder with nothing in it. Options are those of the
// client that it takes the place of; the source is "eventtest".
func NewRecorder(opts ...event.ClientOption) *Recorder {
	r := &Recorder{changed: make(chan struct{})}
	b := memorybroker.New(broker.WithLogger(slog.New(slog.DiscardHandler)))
	r.client = event.NewClient(sink{b, r}, "eventtest", opts...)
	return r
}

// PublishEvent records m. It fails as event.Client.PublishEvent fails, and as
// [Recorder.Fail] says.
func (r *Recorder) PublishEvent(ctx context.Context, s *event.Spec, m proto.Message) error {
	return r.client.PublishEvent(context.WithValue(ctx, eventKey{}, m), s, m)
}

// Fail makes publishing fail with err from now on, and work again when err is
// nil. Nothing is recorded meanwhile. An error that does not say what became of
// the event, as those of package broker do, counts as broker.ErrNotDelivered.
func (r *Recorder) Fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fail = err
}

// Records returns copies of everything that was published, in order.
func (r *Recorder) Records() []Record {
	r.mu.Lock()
	defer r.mu.Unlock()
	records := slices.Clone(r.records)
	for i, rec := range records {
		records[i].Event = proto.Clone(rec.Event)
		records[i].Message = rec.Message.Clone()
	}
	return records
}

// Reset forgets what was published and what [Recorder.Fail] said.
func (r *Recorder) Reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.records, r.fail = nil, nil
}

// change returns a channel that is closed with the next record.
func (r *Recorder) change() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.changed
}

// eventKey is where PublishEvent leaves the event in the context for the sink,
// which is handed only its encoded form.
type eventKey struct{}

// sink is the broker of the recorder's client: one without subscribers, so that
// what the recorder takes keeps to the limits of every broker.
type sink struct {
	broker.Broker
	recorder *Recorder
}

func (s sink) Publish(ctx context.Context, topic string, m *broker.Message, _ ...broker.PublishOption) error {
	if err := s.Connect(ctx); err != nil {
		return err
	}
	if err := s.Broker.Publish(ctx, topic, m, broker.AllowNoSubscribers()); err != nil {
		return err
	}
	return s.recorder.record(topic, ctx.Value(eventKey{}).(proto.Message), m)
}

func (r *Recorder) record(topic string, e proto.Message, m *broker.Message) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fail != nil {
		return withOutcome(topic, r.fail)
	}
	r.records = append(r.records, Record{topic, proto.Clone(e), m.Clone()})
	close(r.changed)
	r.changed = make(chan struct{})
	return nil
}

// withOutcome makes err say what became of the event, as every error of a
// broker does.
func withOutcome(topic string, err error) error {
	for _, outcome := range []error{broker.ErrNotDelivered, broker.ErrUncertain, broker.ErrRejected} {
		if errors.Is(err, outcome) {
			return err
		}
	}
	return &broker.PublishError{Topic: topic, Outcome: broker.ErrNotDelivered, Cause: err}
}
