package broker

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// watchedDriver has a source that is told of attempts.
type watchedDriver struct {
	*fakeDriver
	watched *watchedSource
}

func (d *watchedDriver) Open(context.Context, SourceSpec) (Source, error) { return d.watched, nil }

// watchedSource notes attempts and settlements in the order in which it is told.
type watchedSource struct {
	*fakeSource
	notes  sync.Mutex
	told   []string
	refuse string // the message that may not begin
}

func (s *watchedSource) note(what string, r *Raw) {
	s.notes.Lock()
	defer s.notes.Unlock()
	s.told = append(s.told, what+" "+string(r.Value.(*Record).Body))
}

func (s *watchedSource) BeginAttempt(r *Raw) bool {
	s.note("begin", r)
	return string(r.Value.(*Record).Body) != s.refuse
}

func (s *watchedSource) EndAttempt(r Raw) { s.note("end", &r) }

func (s *watchedSource) Settle(_ context.Context, r *Raw, o Outcome, _ error) error {
	s.note(o.String(), r)
	return nil
}

// A partition may be given away only when nothing of it runs any more and what
// ran is settled: so the end of an attempt is told after its settlement, once
// for each that began, however it ends.
func TestAttemptsAreToldToASourceThatWatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := newFake(Capabilities{Contiguous: true})
		d := &watchedDriver{fake, &watchedSource{fakeSource: fake.source, refuse: "gone"}}
		e := connected(t, d)
		attempts := 0
		_, err := e.Subscribe(t.Context(), "t", func(_ context.Context, d *Delivery) error {
			switch attempts++; {
			case string(d.Message.Body) == "exits":
				if d.Attempt == 1 {
					runtime.Goexit()
				}
			case string(d.Message.Body) == "fails" && d.Attempt == 1:
				return errors.New("once")
			case string(d.Message.Body) == "panics" && d.Attempt == 1:
				panic("once")
			}
			return nil
		}, Queue("q"))
		must(t, err)
		var want []string
		for _, name := range []string{"fine", "gone", "fails", "panics", "exits"} {
			fake.source.feedNames(0, name)
			time.Sleep(time.Second) // of the bubble's clock: the retry too
			synctest.Wait()
			switch name {
			case "fine":
				want = append(want, "begin fine", "ack fine", "end fine")
			case "gone":
				want = append(want, "begin gone")
			default:
				want = append(want, "begin "+name, "end "+name, "begin "+name, "ack "+name, "end "+name)
			}
		}
		d.watched.notes.Lock()
		defer d.watched.notes.Unlock()
		if !slices.Equal(d.watched.told, want) {
			t.Errorf("got  %q\nwant %q", d.watched.told, want)
		}
		if attempts != 7 {
			t.Errorf("handler calls: got %d, want 7", attempts)
		}
	})
}
