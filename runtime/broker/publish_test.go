package broker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestPublishErrorsSayWhatBecameOfTheMessage(t *testing.T) {
	raw := errors.New("connection reset")
	for _, tc := range []struct {
		name    string
		driver  error
		outcome error
		cause   error
	}{
		{"unmarked", raw, ErrUncertain, raw},
		{"not delivered", NotDelivered(raw), ErrNotDelivered, raw},
		{"wrapped mark", fmt.Errorf("attempt 2: %w", NotDelivered(raw)), ErrNotDelivered, raw},
		{"rejected", Rejected(raw), ErrRejected, raw},
		{"nobody", NotDelivered(ErrNoSubscribers), ErrNotDelivered, ErrNoSubscribers},
		{"too large for the server", Rejected(ErrTooLarge), ErrRejected, ErrTooLarge},
		{"closed after it was sent", fmt.Errorf("%w: %w", ErrClosed, raw), ErrUncertain, ErrClosed},
		{"deadline", context.DeadlineExceeded, ErrUncertain, context.DeadlineExceeded},
		{"an attempt before", errors.Join(NotDelivered(raw), context.Canceled), ErrUncertain, raw},
		{"one queue of two", fmt.Errorf("%w, %w", raw, Rejected(ErrTooLarge)), ErrUncertain, ErrTooLarge},
		{"end of a context", NotDelivered(fmt.Errorf("%w: %w", Rejected(raw), context.Canceled)), ErrNotDelivered, context.Canceled},
		{"error of another broker", &PublishError{"t", ErrNotDelivered, raw}, ErrUncertain, raw},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := newFake(Capabilities{})
			d.publishErr = tc.driver
			err := connected(t, d).Publish(t.Context(), "t", &Message{})
			if !errors.Is(err, tc.outcome) || !errors.Is(err, tc.cause) {
				t.Errorf("got %v, want outcome %v and cause %v", err, tc.outcome, tc.cause)
			}
			matches := 0
			for _, outcome := range []error{ErrNotDelivered, ErrUncertain, ErrRejected} {
				if errors.Is(err, outcome) {
					matches++
				}
			}
			if matches != 1 {
				t.Errorf("%v matches %d outcomes, want exactly 1", err, matches)
			}
			pub, ok := errors.AsType[*PublishError](err)
			if !ok || pub.Topic != "t" || pub.Outcome != tc.outcome {
				t.Errorf("got %#v, want a *PublishError of topic t", err)
			}
		})
	}
}

func TestPublishChecksBeforeTheDriver(t *testing.T) {
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	many := Header{}
	for i := range MaxHeaderEntries + 1 {
		many[fmt.Sprint(i)] = ""
	}
	long := func(n int) string { return string(slices.Repeat([]byte{'x'}, n)) }
	for _, tc := range []struct {
		name    string
		ctx     context.Context
		topic   string
		m       *Message
		outcome error
		cause   error
	}{
		{"done context", cancelled, "t", &Message{}, ErrNotDelivered, context.Canceled},
		{"empty topic", t.Context(), "", &Message{}, ErrRejected, ErrInvalidTopic},
		{"wildcard topic", t.Context(), "a.*", &Message{}, ErrRejected, ErrInvalidTopic},
		{"topic with two dots", t.Context(), "a..b", &Message{}, ErrRejected, ErrInvalidTopic},
		{"topic with a dot at the end", t.Context(), "a.", &Message{}, ErrRejected, ErrInvalidTopic},
		{"long topic", t.Context(), long(MaxTopicBytes + 1), &Message{}, ErrRejected, ErrInvalidTopic},
		{"nil message", t.Context(), "t", nil, ErrRejected, ErrRejected},
		{"large body", t.Context(), "t", &Message{Body: make([]byte, DefaultMaxMessageBytes+1)}, ErrRejected, ErrTooLarge},
		{"long key", t.Context(), "t", &Message{Key: long(MaxKeyBytes + 1)}, ErrRejected, ErrInvalidHeader},
		{"key that is not UTF-8", t.Context(), "t", &Message{Key: "\xff"}, ErrRejected, ErrInvalidHeader},
		{"header without a name", t.Context(), "t", &Message{Header: Header{"": "v"}}, ErrRejected, ErrInvalidHeader},
		{"long header name", t.Context(), "t", &Message{Header: Header{long(MaxHeaderNameBytes + 1): "v"}}, ErrRejected, ErrInvalidHeader},
		{"long header value", t.Context(), "t", &Message{Header: Header{"n": long(MaxHeaderValueBytes + 1)}}, ErrRejected, ErrInvalidHeader},
		{"header name that is not UTF-8", t.Context(), "t", &Message{Header: Header{"\xff": "v"}}, ErrRejected, ErrInvalidHeader},
		{"header value that is not UTF-8", t.Context(), "t", &Message{Header: Header{"n": "\xff"}}, ErrRejected, ErrInvalidHeader},
		{"too many headers", t.Context(), "t", &Message{Header: many}, ErrRejected, ErrInvalidHeader},
		{"too large headers", t.Context(), "t", &Message{Header: Header{"a": long(32 << 10), "b": long(32 << 10)}}, ErrRejected, ErrInvalidHeader},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := newFake(Capabilities{})
			err := connected(t, d).Publish(tc.ctx, tc.topic, tc.m)
			if !errors.Is(err, tc.outcome) || !errors.Is(err, tc.cause) {
				t.Errorf("got %v, want %v: %v", err, tc.outcome, tc.cause)
			}
			if len(d.published) != 0 {
				t.Error("it reached the driver")
			}
		})
	}
}

func TestPublishNeedsAConnection(t *testing.T) {
	e := New(newFake(Capabilities{}), quiet())
	if err := e.Publish(t.Context(), "t", &Message{}); !errors.Is(err, ErrNotConnected) || !errors.Is(err, ErrNotDelivered) {
		t.Errorf("before Connect: %v, want ErrNotConnected", err)
	}
	must(t, e.Connect(t.Context()))
	must(t, e.Publish(t.Context(), "t", &Message{}))
	must(t, e.Disconnect(t.Context()))
	if err := e.Publish(t.Context(), "t", &Message{}); !errors.Is(err, ErrClosed) {
		t.Errorf("after Disconnect: %v, want ErrClosed", err)
	}
	must(t, e.Connect(t.Context()))
	must(t, e.Publish(t.Context(), "t", &Message{}))
	must(t, e.Disconnect(t.Context()))
	must(t, e.Disconnect(t.Context()))
}

func TestPublishOptionsThatTheDriverCannotHonour(t *testing.T) {
	e := connected(t, newFake(Capabilities{}))
	if err := e.Publish(t.Context(), "t", &Message{}, NoWait()); !errors.Is(err, ErrUnsupported) {
		t.Errorf("NoWait: %v, want ErrUnsupported", err)
	}
	d := newFake(Capabilities{KnowsSubscribers: true})
	d.publishErr = NotDelivered(ErrNoSubscribers)
	must(t, connected(t, d).Publish(t.Context(), "t", &Message{}, AllowNoSubscribers()))
	d.publishErr = errors.Join(ErrNoSubscribers, errors.New("connection reset"))
	if err := connected(t, d).Publish(t.Context(), "t", &Message{}, AllowNoSubscribers()); !errors.Is(err, ErrUncertain) {
		t.Errorf("AllowNoSubscribers, and perhaps there was one: got %v, want ErrUncertain", err)
	}
}

// batchDriver publishes batches and fails those whose body says so.
type batchDriver struct {
	*fakeDriver
	calls int
}

func (d *batchDriver) PublishBatch(_ context.Context, _ string, rs []*Record, _ PublishOptions) []error {
	d.calls++
	errs := make([]error, len(rs))
	for i, r := range rs {
		if string(r.Body) == "fails" {
			errs[i] = NotDelivered(errors.New("no"))
		}
	}
	return errs
}

func TestPublishBatchKeepsItsPlaces(t *testing.T) {
	d := &batchDriver{fakeDriver: newFake(Capabilities{})}
	e := connected(t, d)
	bad := &Message{Header: Header{"": ""}}
	errs := e.PublishBatch(t.Context(), "t", []*Message{{}, bad, {Body: []byte("fails")}, {}})
	if len(errs) != 4 || errs[0] != nil || !errors.Is(errs[1], ErrInvalidHeader) || !errors.Is(errs[2], ErrNotDelivered) || errs[3] != nil {
		t.Errorf("errors %v, want the second and the third", errs)
	}
	if errs := e.PublishBatch(t.Context(), "t", []*Message{{}, {}}); errs != nil {
		t.Errorf("errors %v, want nil when all were accepted", errs)
	}
	if d.calls != 2 {
		t.Errorf("%d calls of the driver, want 2", d.calls)
	}
	if errs := e.PublishBatch(t.Context(), "not a topic", []*Message{{}, {}}); len(errs) != 2 || !errors.Is(errs[1], ErrInvalidTopic) {
		t.Errorf("errors %v, want two of ErrInvalidTopic", errs)
	}
}

func TestPublishRecordsIsABatchOfRecords(t *testing.T) {
	d := &batchDriver{fakeDriver: newFake(Capabilities{})}
	e := connected(t, d)
	errs := e.PublishRecords(t.Context(), "t", []*Record{{}, nil, {Body: []byte("fails")}})
	if len(errs) != 3 || errs[0] != nil || !errors.Is(errs[1], ErrRejected) || !errors.Is(errs[2], ErrNotDelivered) {
		t.Errorf("errors %v, want the second and the third", errs)
	}
	if errs := e.PublishRecords(t.Context(), "t", []*Record{{}, {}}); errs != nil || d.calls != 2 {
		t.Errorf("errors %v, %d calls of the driver, want none and 2", errs, d.calls)
	}
}

func TestPublishBatchWithoutTheAbilityIsALoop(t *testing.T) {
	d := newFake(Capabilities{})
	e := connected(t, d)
	errs := e.PublishBatch(t.Context(), "t", []*Message{{Body: []byte("1")}, nil, {Body: []byte("2")}})
	if len(errs) != 3 || errs[0] != nil || errs[1] == nil || errs[2] != nil || len(d.published) != 2 {
		t.Errorf("errors %v, published %d; want only the second to fail", errs, len(d.published))
	}
}

func TestGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g gate
		if g.enter() != nil {
			t.Fatal("the zero gate lets in")
		}
		g.open()
		first := g.enter()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := g.shut(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("shut with one inside: %v, want the deadline", err)
		}
		if g.enter() != nil {
			t.Error("a shut gate lets in")
		}
		g.open() // calls of the time before do not hold up those after
		must(t, g.shut(t.Context()))
		first.Done()
	})
}
