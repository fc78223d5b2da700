package event_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"google.golang.org/protobuf/proto"

	eventv1 "github.com/micro-event/micro-event/proto/micro/event/v1"
	"github.com/micro-event/micro-event/runtime/broker"
	"github.com/micro-event/micro-event/runtime/event"
)

// slowDriver is a transport that takes batches while open is not shut, and fails
// those events whose name says so.
type slowDriver struct {
	discard
	gate chan struct{} // nil: always open

	mu      sync.Mutex
	batches int
	names   []string // of what was published, by topic and name
}

var errFails = errors.New("on purpose")

func (d *slowDriver) PublishBatch(ctx context.Context, topic string, rs []*broker.Record, _ broker.PublishOptions) []error {
	if d.gate != nil {
		select {
		case <-d.gate:
		case <-ctx.Done():
			return slices.Repeat([]error{context.Cause(ctx)}, len(rs))
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.batches++
	errs := make([]error, len(rs))
	for i, r := range rs {
		var e eventv1.HeaderField
		errs[i] = proto.Unmarshal(r.Body, &e)
		if strings.HasPrefix(e.GetName(), "fails") {
			errs[i] = broker.NotDelivered(errFails)
			continue
		}
		d.names = append(d.names, topic+" "+e.GetName())
	}
	return errs
}

func (d *slowDriver) published() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.names)
}

func (d *slowDriver) connected(t *testing.T) *broker.Engine {
	t.Helper()
	b := broker.New(d, broker.WithLogger(slog.New(slog.DiscardHandler)))
	if err := b.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	return b
}

func TestAsyncHoldsEventsUntilItIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &slowDriver{gate: make(chan struct{})}
		a := event.NewAsyncClient(event.NewClient(d.connected(t), "s"), event.MaxPending(3))
		e := field("0", "k")
		for i := range 3 {
			e.Name = fmt.Sprint(i)
			if err := a.PublishEvent(t.Context(), fieldSpec, e); err != nil {
				t.Fatal(err)
			}
		}
		e.Name = "changed"
		ctx, cancel := context.WithCancel(t.Context())
		full := make(chan error)
		go func() { full <- a.PublishEvent(ctx, fieldSpec, field("late", "")) }()
		synctest.Wait()
		cancel()
		if err := <-full; !errors.Is(err, broker.ErrBackpressure) || !errors.Is(err, broker.ErrNotDelivered) || !errors.Is(err, context.Canceled) {
			t.Errorf("error %v of a full client", err)
		}
		go func() { full <- a.PublishEvent(t.Context(), fieldSpec, field("3", "")) }()
		close(d.gate)
		if err := errors.Join(<-full, a.Close(t.Context())); err != nil {
			t.Fatal(err)
		}
		if want := []string{"shop.fields 0", "shop.fields 1", "shop.fields 2", "shop.fields 3"}; !slices.Equal(d.published(), want) {
			t.Errorf("published %q, want %q", d.published(), want)
		}
	})
}

func TestAsyncPublishesBatchesInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &slowDriver{gate: make(chan struct{})}
		a := event.NewAsyncClient(event.NewClient(d.connected(t), "s"))
		const events = 300
		for i := range events {
			for _, topic := range []string{"a", "b"} {
				if err := a.PublishEvent(event.WithTopic(t.Context(), topic), fieldSpec, field(fmt.Sprint(i), "k")); err != nil {
					t.Fatal(err)
				}
			}
		}
		close(d.gate)
		if err := a.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, topic := range []string{"a", "b"} {
			next := 0
			for _, name := range d.published() {
				if strings.HasPrefix(name, topic) {
					if want := fmt.Sprintf("%s %d", topic, next); name != want {
						t.Fatalf("published %s, want %s", name, want)
					}
					next++
				}
			}
			if next != events {
				t.Errorf("topic %s: %d events, want %d", topic, next, events)
			}
		}
		if d.batches > 6 {
			t.Errorf("%d batches for %d events", d.batches, 2*events)
		}
	})
}

func TestFlushJoinsFailuresOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &slowDriver{}
		a := event.NewAsyncClient(event.NewClient(d.connected(t), "s"))
		for i := range 110 {
			if err := a.PublishEvent(t.Context(), fieldSpec, field(fmt.Sprint("fails ", i), "")); err != nil {
				t.Fatal(err)
			}
		}
		err := a.Flush(t.Context())
		if !errors.Is(err, errFails) || !errors.Is(err, broker.ErrNotDelivered) {
			t.Fatalf("error %v", err)
		}
		lines := strings.Split(err.Error(), "\n")
		const first = `event: flush: event: publish micro.event.v1.HeaderField: broker: publish to "shop.fields": not delivered: on purpose`
		if len(lines) != 101 || lines[0] != first || lines[100] != "and 10 more failures" {
			t.Errorf("%d lines, first %q, last %q", len(lines), lines[0], lines[len(lines)-1])
		}
		if err := errors.Join(a.Flush(t.Context()), a.Close(t.Context())); err != nil {
			t.Errorf("failures are reported twice: %v", err)
		}
	})
}

func TestFlushWaitsOnlyForWhatCameBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &slowDriver{gate: make(chan struct{})}
		a := event.NewAsyncClient(event.NewClient(d.connected(t), "s"))
		publish := func(topic string) {
			t.Helper()
			if err := a.PublishEvent(event.WithTopic(t.Context(), topic), fieldSpec, field("x", "")); err != nil {
				t.Fatal(err)
			}
		}
		publish("a")
		flushed := make(chan error)
		go func() { flushed <- a.Flush(t.Context()) }()
		synctest.Wait()
		publish("a")
		d.gate <- struct{}{} // lets the first batch pass
		if err := <-flushed; err != nil {
			t.Error(err)
		}
		done, cancel := context.WithCancel(t.Context())
		cancel()
		if err := a.Flush(done); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "1 events are still held") {
			t.Errorf("error %v", err)
		}
		close(d.gate)
		if err := a.Flush(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestEachResultReachesTheCallback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var results []event.AsyncResult
		a := event.NewAsyncClient(event.NewClient((&slowDriver{}).connected(t), "s"),
			event.OnResult(func(r event.AsyncResult) { results = append(results, r) }))
		for i, name := range []string{"a", "fails", "c"} {
			ctx := event.WithID(t.Context(), fmt.Sprint(i))
			if err := a.PublishEvent(ctx, fieldSpec, field(name, "k")); err != nil {
				t.Fatal(err)
			}
		}
		err := a.Close(t.Context())
		if !errors.Is(err, errFails) || len(results) != 3 {
			t.Fatalf("error %v, results %v", err, results)
		}
		for i, r := range results {
			failed := errors.Is(r.Err, errFails) && errors.Is(r.Err, broker.ErrNotDelivered)
			if r.ID != fmt.Sprint(i) || r.Key != "k" || r.Topic != "shop.fields" || r.Type != fieldSpec.Type || failed != (i == 1) {
				t.Errorf("result %d is %+v", i, r)
			}
		}
	})
}

func TestCloseGivesUpWhatIsHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &slowDriver{gate: make(chan struct{})}
		var outcomes []bool // whether an event certainly was not delivered
		a := event.NewAsyncClient(event.NewClient(d.connected(t), "s"), event.OnResult(func(r event.AsyncResult) {
			outcomes = append(outcomes, errors.Is(r.Err, broker.ErrNotDelivered))
		}))
		for range 2 {
			if err := a.PublishEvent(t.Context(), fieldSpec, field("", "")); err != nil {
				t.Fatal(err)
			}
			synctest.Wait() // the first is being published
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		err := a.Close(ctx)
		if !errors.Is(err, broker.ErrUncertain) || !errors.Is(err, broker.ErrNotDelivered) || !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
		if want := []bool{false, true}; !slices.Equal(outcomes, want) {
			t.Errorf("not delivered %v, want %v", outcomes, want)
		}
		if err := a.Close(t.Context()); err != nil {
			t.Errorf("second Close: %v", err)
		}
		err = a.PublishEvent(t.Context(), fieldSpec, field("", ""))
		if !errors.Is(err, broker.ErrClosed) || !errors.Is(err, broker.ErrNotDelivered) {
			t.Errorf("publish after Close: %v", err)
		}
	})
}

func TestAsyncRefusesAtOnceWhatIsNoEvent(t *testing.T) {
	done, cancel := context.WithCancel(t.Context())
	cancel()
	publish := func(ctx context.Context, e *eventv1.HeaderField, opts ...event.AsyncOption) error {
		a := event.NewAsyncClient(event.NewClient(&loopback{}, "s"), opts...)
		return a.PublishEvent(ctx, fieldSpec, e)
	}
	for name, tt := range map[string]struct{ err, want error }{
		"nil":     {publish(t.Context(), nil), event.ErrNilEvent},
		"header":  {publish(event.WithHeader(t.Context(), "a b", ""), field("", "")), event.ErrInvalidHeader},
		"window":  {publish(t.Context(), field("", ""), event.MaxPending(0)), broker.ErrRejected},
		"context": {publish(done, field("", "")), broker.ErrNotDelivered},
		"source":  {event.NewAsyncClient(event.NewClient(&loopback{}, "")).PublishEvent(t.Context(), fieldSpec, field("", "")), event.ErrInvalidSource},
	} {
		if !errors.Is(tt.err, tt.want) {
			t.Errorf("%s: error %v, want %v", name, tt.err, tt.want)
		}
	}
}

func TestAsyncWorksWithAnyBroker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got notes
		b := &loopback{}
		c := event.NewClient(b, "s", event.WrapPublish(got.publish("a")), event.TopicPrefix("test."))
		a := event.NewAsyncClient(c)
		if err := errors.Join(a.PublishEvent(t.Context(), fieldSpec, field("x", "k")), a.Close(t.Context())); err != nil {
			t.Fatal(err)
		}
		if len(b.published) != 1 || b.published[0].Key != "k" || b.published[0].Header["a"] != "x" || got[len(got)-1] != "a test.shop.fields" {
			t.Errorf("published %+v, notes %q", b.published, got)
		}
		b.fail = errFails
		err := errors.Join(event.NewAsyncClient(c).PublishEvent(t.Context(), fieldSpec, field("", "")))
		synctest.Wait()
		if err != nil {
			t.Errorf("error %v before the broker was asked", err)
		}
	})
}

func TestAsyncKeepsOrderOfConcurrentPublishers(t *testing.T) {
	d := &slowDriver{}
	a := event.NewAsyncClient(event.NewClient(d.connected(t), "s"), event.MaxPending(8))
	var publishers sync.WaitGroup
	for p := range 8 {
		publishers.Go(func() {
			for i := range 100 {
				if err := a.PublishEvent(t.Context(), fieldSpec, field(fmt.Sprintf("%d %03d", p, i), fmt.Sprint(p))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	publishers.Wait()
	if err := a.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	names := d.published()
	last := map[string]string{}
	for _, name := range names {
		publisher := name[:len(name)-4]
		if name <= last[publisher] {
			t.Fatalf("%q after %q", name, last[publisher])
		}
		last[publisher] = name
	}
	if len(names) != 800 {
		t.Errorf("%d events, want 800", len(names))
	}
}
