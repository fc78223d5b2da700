package brokertest

import (
	"errors"
	"strings"
	"testing"

	"github.com/micro-event/micro-event/runtime/broker"
)

// faultyRecord is a test that notes its errors instead of failing.
type faultyRecord struct {
	testing.TB
	errors []string
}

func (r *faultyRecord) Helper() {}

func (r *faultyRecord) Logf(string, ...any) {}

func (r *faultyRecord) Errorf(format string, _ ...any) { r.errors = append(r.errors, format) }

func TestLedger(t *testing.T) {
	for name, test := range map[string]struct {
		taken, never, handled []string
		ordered               bool
		want                  string // a part of the error, empty for none
		missing               int
	}{
		"all is well":       {[]string{"a/0", "a/1"}, []string{"a/2"}, []string{"a/0", "a/1", "a/0"}, true, "", 0},
		"lost":              {[]string{"a/0", "a/1"}, nil, []string{"a/0"}, true, "", 1},
		"never, yet there":  {[]string{"a/0"}, []string{"a/1"}, []string{"a/0", "a/1"}, true, "certainly failed", 0},
		"out of order":      {[]string{"a/0", "a/1"}, nil, []string{"a/1", "a/0"}, true, "out of order", 0},
		"order is not kept": {[]string{"a/0", "a/1"}, nil, []string{"a/1", "a/0"}, false, "", 0},
		"keys apart":        {[]string{"a/1", "b/0"}, nil, []string{"a/1", "b/0"}, true, "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			r := &faultyRecord{TB: t}
			l := newLedger(r)
			l.taken, l.never = test.taken, test.never
			for _, id := range test.handled {
				if err := l.note(id); err != nil {
					t.Fatal(err)
				}
			}
			l.check(test.ordered)
			got := strings.Join(r.errors, "; ")
			if (got != "") != (test.want != "") || !strings.Contains(got, test.want) {
				t.Errorf("check: got %q, want %q", got, test.want)
			}
			if n := len(l.missing()); n != test.missing {
				t.Errorf("missing: got %d, want %d", n, test.missing)
			}
		})
	}
	if err := newLedger(t).note("garbage"); !broker.IsPermanent(err) {
		t.Errorf("a message that nobody published: got %v, want a permanent error", errors.Unwrap(err))
	}
}
