package eventtest_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/micro-event/micro-event/runtime/broker"
	"github.com/micro-event/micro-event/runtime/event"
	"github.com/micro-event/micro-event/runtime/event/eventtest"
)

var (
	textSpec = &event.Spec{
		Topic: "texts",
		Type:  "google.protobuf.StringValue",
		Fields: func(m proto.Message, f *event.Fields) {
			f.SetKey(m.(*wrapperspb.StringValue).GetValue())
			f.SetHeader("text", m.(*wrapperspb.StringValue).GetValue())
		},
	}
	flagSpec = &event.Spec{Topic: "flags", Type: "google.protobuf.BoolValue"}
)

func TestRecorderKeepsCopies(t *testing.T) {
	rec := eventtest.NewRecorder(event.WithCodec(event.JSON))
	e := wrapperspb.String("a")
	if err := rec.PublishEvent(event.WithHeader(t.Context(), "note", "x"), textSpec, e); err != nil {
		t.Fatal(err)
	}
	if err := rec.PublishEvent(t.Context(), flagSpec, wrapperspb.Bool(true)); err != nil {
		t.Fatal(err)
	}
	e.Value = "changed after publishing"
	for _, got := range eventtest.Published[*wrapperspb.StringValue](rec) {
		got.Value = "changed by the test"
	}
	texts := eventtest.Published[*wrapperspb.StringValue](rec)
	if len(texts) != 1 || texts[0].GetValue() != "a" || len(eventtest.Published[proto.Message](rec)) != 2 {
		t.Fatalf("published %v", texts)
	}
	r := rec.Records()[0]
	h := r.Message.Header
	if r.Topic != "texts" || r.Message.Key != "a" || string(r.Message.Body) != `"a"` || h["note"] != "x" || h["text"] != "a" {
		t.Errorf("record %+v", r)
	}
	if h["ce-id"] == "" || h["ce-type"] != textSpec.Type || h["content-type"] != "application/json" {
		t.Errorf("headers %v", h)
	}
	rec.Reset()
	if n := len(rec.Records()); n != 0 {
		t.Errorf("%d records after Reset", n)
	}
}

func TestRecorderRefusesWhatAClientRefuses(t *testing.T) {
	done, cancel := context.WithCancel(t.Context())
	cancel()
	ok := wrapperspb.String("a")
	tests := []struct {
		name    string
		ctx     context.Context
		spec    *event.Spec
		event   proto.Message
		outcome error
		want    error
	}{
		{"nil", t.Context(), textSpec, (*wrapperspb.StringValue)(nil), broker.ErrRejected, event.ErrNilEvent},
		{"header", event.WithHeader(t.Context(), "ce-id", "1"), textSpec, ok, broker.ErrRejected, event.ErrInvalidHeader},
		{"text", t.Context(), textSpec, wrapperspb.String("\xff"), broker.ErrRejected, event.ErrCodec},
		{"topic", t.Context(), &event.Spec{Topic: "a b", Type: "x"}, ok, broker.ErrRejected, broker.ErrInvalidTopic},
		{"limits", event.WithHeader(t.Context(), "note", "\xff"), textSpec, ok, broker.ErrRejected, broker.ErrInvalidHeader},
		{"context", done, textSpec, ok, broker.ErrNotDelivered, context.Canceled},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rec := eventtest.NewRecorder()
			err := rec.PublishEvent(tt.ctx, tt.spec, tt.event)
			if !errors.Is(err, tt.want) || !errors.Is(err, tt.outcome) {
				t.Errorf("error %v, want %v and %v", err, tt.outcome, tt.want)
			}
			if n := len(rec.Records()); n != 0 {
				t.Errorf("%d records", n)
			}
		})
	}
}

func TestRecorderFails(t *testing.T) {
	down := errors.New("broker is down")
	uncertain := &broker.PublishError{Topic: "texts", Outcome: broker.ErrUncertain, Cause: down}
	rec := eventtest.NewRecorder()
	for _, tt := range []struct{ err, outcome error }{{down, broker.ErrNotDelivered}, {uncertain, broker.ErrUncertain}} {
		rec.Fail(tt.err)
		err := rec.PublishEvent(t.Context(), textSpec, wrapperspb.String("a"))
		if !errors.Is(err, down) || !errors.Is(err, tt.outcome) {
			t.Errorf("error %v, want %v and %v", err, down, tt.outcome)
		}
	}
	rec.Fail(nil)
	if err := rec.PublishEvent(t.Context(), textSpec, wrapperspb.String("b")); err != nil {
		t.Fatal(err)
	}
	if got := eventtest.Published[*wrapperspb.StringValue](rec); len(got) != 1 || got[0].GetValue() != "b" {
		t.Errorf("published %v", got)
	}
}

func TestRecorderIsConcurrent(t *testing.T) {
	rec := eventtest.NewRecorder()
	var publishers sync.WaitGroup
	for range 8 {
		publishers.Go(func() {
			for range 20 {
				if err := rec.PublishEvent(t.Context(), textSpec, wrapperspb.String("a")); err != nil {
					t.Error(err)
				}
				_ = rec.Records()
			}
		})
	}
	publishers.Wait()
	if n := len(rec.Records()); n != 160 {
		t.Errorf("%d records, want 160", n)
	}
}
