package broker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestLogIsSettledInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newFake(Capabilities{Contiguous: true})
		e := connected(t, d)
		release := map[string]chan struct{}{"a": make(chan struct{}), "b": make(chan struct{}), "c": make(chan struct{})}
		_, err := e.Subscribe(t.Context(), "t", func(_ context.Context, m *Delivery) error {
			<-release[string(m.Message.Body)]
			return nil
		}, Queue("q"), MaxInFlight(3))
		must(t, err)
		d.source.feedNames(7, "a", "b", "c")
		close(release["c"])
		close(release["b"])
		synctest.Wait()
		if got := d.source.outcomes(); got != nil {
			t.Fatalf("settled before the first of the log: %q", got)
		}
		close(release["a"])
		synctest.Wait()
		want := []string{"a ack", "b ack", "c ack"}
		if got := d.source.outcomes(); !slices.Equal(got, want) {
			t.Errorf("settled %q, want %q", got, want)
		}
	})
}

func TestLogIsNotSettledPastAGiveBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newFake(Capabilities{Contiguous: true})
		e := connected(t, d)
		sub, err := e.Subscribe(t.Context(), "t", func(ctx context.Context, m *Delivery) error {
			switch string(m.Message.Body) {
			case "b":
				<-ctx.Done() // the drain cancels it, so it goes back
				return ctx.Err()
			case "c":
				<-ctx.Done() // and this one makes it in spite of that
			}
			return nil
		}, Queue("q"), MaxInFlight(3))
		must(t, err)
		d.source.feedNames(0, "a", "b", "c")
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		must(t, sub.Unsubscribe(ctx))
		if got, want := d.source.outcomes(), []string{"a ack"}; !slices.Equal(got, want) {
			t.Errorf("settled %q, want %q: c is behind b, which comes again", got, want)
		}
	})
}

func TestHeldDeliveriesAreExtended(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newFake(Capabilities{})
		d.info.AckWait = 30 * time.Second
		e := connected(t, d)
		sub, err := e.Subscribe(t.Context(), "t", func(ctx context.Context, m *Delivery) error {
			switch m.Message.Key {
			case "running":
				<-ctx.Done()
			case "parked":
				return RetryAfter(errors.New("later"), time.Hour)
			}
			return nil
		}, Queue("q"), MaxInFlight(2))
		must(t, err)
		for _, key := range []string{"parked", "running", "running"} {
			d.source.feed(Raw{Key: key, Value: &Record{Key: key}})
		}
		time.Sleep(25 * time.Second) // of the bubble's clock: two beats
		synctest.Wait()
		want := []string{"parked", "running", "running"}
		if got := d.source.extended; len(got) != 2 || !slices.Equal(got[1], want) {
			t.Errorf("extended %q, want twice %q", got, want)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		must(t, sub.Unsubscribe(ctx))
		beats := len(d.source.extended)
		time.Sleep(time.Minute)
		if len(d.source.extended) != beats {
			t.Error("heartbeat goes on after Unsubscribe")
		}
	})
}

func TestStaleDeliveriesDoNotStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newFake(Capabilities{})
		e := connected(t, d)
		var attempts []string
		_, err := e.Subscribe(t.Context(), "t", func(_ context.Context, m *Delivery) error {
			attempts = append(attempts, m.Message.Key)
			return errors.New("fails")
		}, Queue("q"))
		must(t, err)
		d.source.feed(Raw{Key: "k", Value: &Record{Key: "k"}})
		synctest.Wait() // failed once, parked
		d.source.set(func() { d.source.stale["k"] = true })
		time.Sleep(time.Minute)
		if len(attempts) != 1 {
			t.Errorf("%d attempts, want 1: the connection of the delivery is gone", len(attempts))
		}
		if got := d.source.outcomes(); got != nil {
			t.Errorf("settled %q, want nothing", got)
		}
	})
}

func TestSettleErrorIsLoggedUnlessStale(t *testing.T) {
	for _, tc := range []struct {
		err  error
		logs bool
	}{{ErrStale, false}, {errors.New("broken pipe"), true}} {
		synctest.Test(t, func(t *testing.T) {
			var log bytes.Buffer
			d := newFake(Capabilities{})
			d.source.settleErr = tc.err
			e := connected(t, d, WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
			_, err := e.Subscribe(t.Context(), "t", func(context.Context, *Delivery) error { return nil })
			must(t, err)
			d.source.feedNames(0, "a")
			synctest.Wait()
			if got := strings.Contains(log.String(), "settle failed"); got != tc.logs {
				t.Errorf("settle error %v: logged %v, want %v", tc.err, got, tc.logs)
			}
		})
	}
}

func TestReceiveIsRepeatedWithBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		d := newFake(Capabilities{})
		d.source.receiveErr = errors.New("no leader")
		e := connected(t, d, WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
		handled := 0
		_, err := e.Subscribe(t.Context(), "t", func(context.Context, *Delivery) error { handled++; return nil })
		must(t, err)
		d.source.feedNames(0, "a")
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if n := strings.Count(log.String(), "receive failed"); n < 5 || n > 10 {
			t.Errorf("%d receives in 10 s, want 5 to 10 with exponential backoff", n)
		}
		d.source.set(func() { d.source.receiveErr = nil })
		time.Sleep(DefaultBackoffMax)
		synctest.Wait()
		if handled != 1 {
			t.Errorf("handled %d after the source recovered, want 1", handled)
		}
	})
}

func TestPoisonThatCannotBeDecodedKeepsItsBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newFake(Capabilities{DeclareQueue: true})
		d.source.loadErr = errors.New("bad frame")
		e := connected(t, d)
		_, err := e.Subscribe(t.Context(), "t", func(context.Context, *Delivery) error {
			t.Error("handler runs for garbage")
			return nil
		}, DeadLetter("dead"))
		must(t, err)
		d.source.feed(Raw{Key: "k"})
		synctest.Wait()
		if !slices.Equal(d.declared, []string{"dead/" + DeadLetterQueue}) {
			t.Errorf("declared %q, want the queue of dead letters", d.declared)
		}
		if len(d.published) != 1 || string(d.published[0].Body) != "garbage" {
			t.Fatalf("dead letters %v, want one with the raw body", d.published)
		}
		h := d.published[0].Message().Header
		if h[DeadLetterAttemptsHeader] != "0" || !strings.Contains(h[DeadLetterCauseHeader], "bad frame") {
			t.Errorf("headers %v, want 0 attempts and the cause", h)
		}
	})
}

func TestHandlerThatEndsItsGoroutineIsAFailedAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newFake(Capabilities{})
		e := connected(t, d)
		var attempts atomic.Int32
		_, err := e.Subscribe(t.Context(), "t", func(context.Context, *Delivery) error {
			if attempts.Add(1) < 4 {
				runtime.Goexit()
			}
			return nil
		}, Queue("q"))
		must(t, err)
		d.source.feedNames(0, "a", "b")
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := d.source.outcomes(); len(got) != 2 {
			t.Errorf("settled %q, want a and b", got)
		}
	})
}

func TestPanicIsLoggedWithItsStack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		d := newFake(Capabilities{})
		e := connected(t, d, WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
		_, err := e.Subscribe(t.Context(), "t", func(context.Context, *Delivery) error { panic("boom") }, DropAfter(1))
		must(t, err)
		d.source.feed(Raw{Value: &Record{Header: []Field{{"ce-id", "id-1"}}}})
		synctest.Wait()
		for _, want := range []string{"handler panicked: boom", "engine_test.go", "id=id-1", "message dropped"} {
			if !strings.Contains(log.String(), want) {
				t.Errorf("log lacks %q: %s", want, log.String())
			}
		}
		if got := d.source.outcomes(); len(got) != 1 || !strings.HasSuffix(got[0], "reject") {
			t.Errorf("settled %q, want one reject", got)
		}
	})
}

func TestLinkIsReportedAndPartOfHealth(t *testing.T) {
	var events []string
	d := newFake(Capabilities{})
	e := connected(t, d, WithHooks(Hooks{
		Connected: func(address string, again bool) {
			events = append(events, fmt.Sprintf("connected %s %v", address, again))
		},
		Lost: func(_ string, err error) { events = append(events, "lost "+err.Error()) },
	}))
	must(t, e.Health(t.Context()))
	d.lost(errors.New("reset"))
	d.lost(errors.New("still down"))
	if err := e.Health(t.Context()); !errors.Is(err, ErrNotConnected) || !strings.Contains(err.Error(), "still down") {
		t.Errorf("health while the link is down: %v", err)
	}
	d.lost(nil)
	must(t, e.Health(t.Context()))
	want := []string{"connected fake:// false", "lost reset", "connected fake:// true"}
	if !slices.Equal(events, want) {
		t.Errorf("hooks saw %q, want %q", events, want)
	}
}

func TestHandlerThatIgnoresItsCancellationIsNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newFake(Capabilities{})
		e := connected(t, d)
		release := make(chan struct{})
		sub, err := e.Subscribe(t.Context(), "t", func(context.Context, *Delivery) error { <-release; return nil }, Queue("q"))
		must(t, err)
		d.source.feed(Raw{Key: "order-7", Value: &Record{}})
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		began := time.Now()
		err = sub.Unsubscribe(ctx)
		if took := time.Since(began); took != 6*time.Second {
			t.Errorf("Unsubscribe took %v, want its 5 s and a second of grace", took)
		}
		for _, want := range []string{`"t"`, `"q"`, `"order-7"`, "deadline exceeded"} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("error %v lacks %s", err, want)
			}
		}
		close(release)
		must(t, sub.Unsubscribe(t.Context())) // idempotent, and now it ends
		if d.source.closed != 1 {
			t.Errorf("source closed %d times, want once", d.source.closed)
		}
	})
}

func TestDisconnectSaysWhatWasCutShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newFake(Capabilities{})
		d.closeErr = errors.New("socket gone")
		e := New(d, quiet())
		must(t, e.Connect(t.Context()))
		release := make(chan struct{})
		_, err := e.Subscribe(t.Context(), "t", func(context.Context, *Delivery) error { <-release; return nil })
		must(t, err)
		d.source.feedNames(0, "a")
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
		defer cancel()
		began := time.Now()
		err = e.Disconnect(ctx)
		if took := time.Since(began); took != 4*time.Second {
			t.Errorf("Disconnect took %v, want 3 s for the drain and 1 s of grace", took)
		}
		for _, want := range []string{"ignore their cancellation", "socket gone"} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("error %v lacks %q", err, want)
			}
		}
		if err := e.Publish(t.Context(), "t", &Message{}); !errors.Is(err, ErrClosed) || !errors.Is(err, ErrNotDelivered) {
			t.Errorf("publish afterwards: %v, want ErrClosed", err)
		}
		close(release)
	})
}

func TestDisconnectDoesNotWaitForAnotherBeyondItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newFake(Capabilities{})
		e := New(d, quiet())
		must(t, e.Connect(t.Context()))
		release := make(chan struct{})
		_, err := e.Subscribe(t.Context(), "t", func(context.Context, *Delivery) error { <-release; return nil })
		must(t, err)
		d.source.feedNames(0, "a")
		synctest.Wait()
		first := make(chan error, 1)
		go func() { first <- e.Disconnect(context.Background()) }() // drains without end
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := e.Disconnect(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the second: %v, want its deadline", err)
		}
		if err := e.Connect(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("connecting meanwhile: %v, want its deadline", err)
		}
		close(release)
		must(t, <-first)
	})
}
