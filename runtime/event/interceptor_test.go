package event_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	eventv1 "github.com/micro-event/micro-event/proto/micro/event/v1"
	"github.com/micro-event/micro-event/runtime/broker"
	"github.com/micro-event/micro-event/runtime/event"
)

// notes collects what interceptors do.
type notes []string

func (n *notes) publish(name string) event.PublishInterceptor {
	*n = append(*n, "made "+name)
	return func(next event.PublishFunc) event.PublishFunc {
		*n = append(*n, "wrap "+name)
		return func(ctx context.Context, s *event.Spec, m proto.Message) error {
			*n = append(*n, name+" "+s.Topic)
			return next(event.WithHeader(ctx, name, "x"), s, m)
		}
	}
}

func (n *notes) handle(name string) event.HandleInterceptor {
	return func(next event.HandleFunc) event.HandleFunc {
		*n = append(*n, "wrap "+name)
		return func(ctx context.Context, m proto.Message) error {
			*n = append(*n, name+" "+event.FromContext(ctx).Topic()+" "+m.(*eventv1.HeaderField).GetName())
			return next(ctx, m)
		}
	}
}

func TestPublishInterceptorsAreMadeOnceAndCalledInOrder(t *testing.T) {
	var got notes
	b := &loopback{}
	c := event.NewClient(b, "s", event.WrapPublish(got.publish("a"), got.publish("b")), event.WrapPublish(got.publish("c")),
		event.TopicPrefix("test."))
	for range 2 {
		if err := c.PublishEvent(t.Context(), fieldSpec, field("", "")); err != nil {
			t.Fatal(err)
		}
	}
	calls := []string{"a test.shop.fields", "b test.shop.fields", "c test.shop.fields"}
	want := slices.Concat([]string{"made a", "made b", "made c", "wrap c", "wrap b", "wrap a"}, calls, calls)
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if h := b.published[1].Header; h["a"]+h["b"]+h["c"] != "xxx" {
		t.Errorf("headers %v", h)
	}
}

func TestHandleInterceptorsAreMadeOnceAndCalledInOrder(t *testing.T) {
	var got notes
	b := &loopback{}
	s := event.NewServer(b, "billing", event.WrapHandle(got.handle("a"), got.handle("b")))
	err := errors.Join(
		event.Subscribe(s, fieldSpec, ignoreField, event.WrapHandle(got.handle("c")), event.WrapHandle(got.handle("d"))),
		s.Start(t.Context()),
	)
	if err != nil {
		t.Fatal(err)
	}
	c := event.NewClient(b, "s")
	for range 2 {
		if err := c.PublishEvent(t.Context(), fieldSpec, field("x", "")); err != nil {
			t.Fatal(err)
		}
	}
	calls := []string{"a shop.fields x", "b shop.fields x", "c shop.fields x", "d shop.fields x"}
	want := slices.Concat([]string{"wrap d", "wrap c", "wrap b", "wrap a"}, calls, calls)
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestHandleInterceptorDecides(t *testing.T) {
	b := &loopback{}
	cause := errors.New("not today")
	refuse := func(event.HandleFunc) event.HandleFunc {
		return func(context.Context, proto.Message) error { return event.Permanent(cause) }
	}
	started(t, b, func(context.Context, *eventv1.HeaderField) error {
		t.Error("handled")
		return nil
	}, event.WrapHandle(refuse))
	if err := event.NewClient(b, "s").PublishEvent(t.Context(), fieldSpec, field("", "")); err != nil {
		t.Fatal(err)
	}
	if got := b.outcomes[0]; !errors.Is(got, cause) || !broker.IsPermanent(got) {
		t.Errorf("outcome %v", got)
	}
}

func TestErrorOfAPublishInterceptorTellsWhatBecameOfTheEvent(t *testing.T) {
	cause := errors.New("on purpose")
	for _, tt := range []struct{ err, want error }{
		{cause, broker.ErrUncertain},
		{errors.Join(broker.ErrRejected, cause), broker.ErrRejected},
		{errors.Join(broker.ErrNotDelivered, cause), broker.ErrNotDelivered},
	} {
		fail := func(event.PublishFunc) event.PublishFunc {
			return func(context.Context, *event.Spec, proto.Message) error { return tt.err }
		}
		err := event.NewClient(&loopback{}, "s", event.WrapPublish(fail)).PublishEvent(t.Context(), fieldSpec, field("", ""))
		if !errors.Is(err, cause) || !errors.Is(err, tt.want) || !strings.HasPrefix(err.Error(), "event: publish micro.event.v1.HeaderField: ") {
			t.Errorf("error %v, want %v and %v", err, tt.want, cause)
		}
	}
}

func TestNilInterceptorIsAnError(t *testing.T) {
	const want = "interceptor is nil"
	c := event.NewClient(&loopback{}, "s", event.WrapPublish(nil))
	s := event.NewServer(&loopback{}, "s", event.WrapHandle(nil))
	for _, err := range []error{
		c.PublishEvent(t.Context(), fieldSpec, field("", "")),
		event.Subscribe(s, fieldSpec, ignoreField),
		event.Subscribe(event.NewServer(&loopback{}, "s"), fieldSpec, ignoreField, event.WrapHandle(nil)),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
}

func TestTimeouts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wait := func(next event.PublishFunc) event.PublishFunc {
			return func(ctx context.Context, s *event.Spec, m proto.Message) error {
				<-ctx.Done()
				return next(ctx, s, m)
			}
		}
		b := quietBroker()
		s := event.NewServer(b, "billing", event.WrapHandle(event.HandleTimeout(time.Minute)))
		var causes []error
		err := errors.Join(event.Subscribe(s, fieldSpec, func(ctx context.Context, _ *eventv1.HeaderField) error {
			<-ctx.Done()
			causes = append(causes, context.Cause(ctx))
			return ctx.Err()
		}, event.DropAfter(2), event.NoDeadLetter()), s.Start(t.Context()))
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		c := event.NewClient(b, "s", event.WrapPublish(event.PublishTimeout(time.Second), wait))
		err = c.PublishEvent(t.Context(), fieldSpec, field("", ""))
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, broker.ErrNotDelivered) || time.Since(began) != time.Second {
			t.Errorf("after %v: error %v", time.Since(began), err)
		}
		if err := event.NewClient(b, "s").PublishEvent(t.Context(), fieldSpec, field("", "")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Minute)
		if err := s.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(causes) != 2 || !errors.Is(causes[0], context.DeadlineExceeded) || causes[0].Error() != "not handled within 1m0s: context deadline exceeded" {
			t.Errorf("causes %v", causes)
		}
	})
}

func TestLogs(t *testing.T) {
	tests := []struct {
		name  string
		level slog.Level
		fail  error // of the handler and of the broker
		want  []string
	}{
		{"success", slog.LevelInfo, nil, []string{
			`level=INFO msg="event handled" type=micro.event.v1.HeaderField id=1 source=shop topic=shop.fields key=k attempt=1 duration=D`,
			`level=INFO msg="event published" type=micro.event.v1.HeaderField topic=shop.fields duration=D`,
		}},
		{"failure", slog.LevelInfo, errors.New("no"), []string{
			`level=WARN msg="event not handled" type=micro.event.v1.HeaderField id=1 source=shop topic=shop.fields key=k attempt=1 duration=D error=no`,
			`level=ERROR msg="event not published" type=micro.event.v1.HeaderField topic=shop.fields duration=D error=no`,
		}},
		{"success below the level", slog.LevelWarn, nil, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			log := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{
				Level: tt.level,
				ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
					switch a.Key {
					case slog.TimeKey:
						return slog.Attr{}
					case "duration":
						return slog.String("duration", "D")
					}
					return a
				},
			}))
			b := &loopback{}
			started(t, b, func(context.Context, *eventv1.HeaderField) error { return tt.fail }, event.WrapHandle(event.LogHandle(log)))
			result := func(next event.PublishFunc) event.PublishFunc {
				return func(ctx context.Context, s *event.Spec, m proto.Message) error {
					return errors.Join(next(ctx, s, m), tt.fail)
				}
			}
			c := event.NewClient(b, "shop", event.WrapPublish(event.LogPublish(log), result))
			err := c.PublishEvent(event.WithID(t.Context(), "1"), fieldSpec, field("", "k"))
			if !errors.Is(err, tt.fail) {
				t.Fatal(err)
			}
			var got []string
			for line := range strings.Lines(out.String()) {
				got = append(got, strings.TrimSuffix(line, "\n"))
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
			}
		})
	}
}
