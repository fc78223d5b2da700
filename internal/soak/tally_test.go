//go:build unix

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// read makes a tally of a journal.
func read(t *testing.T, lines ...string) *tally {
	t.Helper()
	l := &lab{dir: t.TempDir()}
	content := strings.Join(lines, "\n") + "\n"
	if err := os.WriteFile(filepath.Join(l.dir, "n.journal"), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := l.tally()
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// TestCheckerFinds has one journal for each thing that can go wrong.
func TestCheckerFinds(t *testing.T) {
	good := []string{
		"1 sent p-0-1 k", "2 begin q p-0-1 k 1", "3 done q p-0-1", "4 ok p-0-1 3000",
		"5 sent p-0-2 k", "6 begin q p-0-2 k 1", "7 done q p-0-2", "8 ok p-0-2 3000", "9 end 12 3456",
	}
	for name, c := range map[string]struct {
		lines []string
		want  string
	}{
		"nothing":        {good, ""},
		"lost":           {append(good, "10 sent p-0-3 k", "11 ok p-0-3 1"), "lost by q: got 1"},
		"lost by one":    {append(good, "10 done other p-0-1"), ""},
		"invented":       {append(good, "10 done q p-9-9"), "invented: got 1"},
		"reordered":      {append(good, "5 sent p-0-3 k", "6 done q p-0-3", "7 ok p-0-3 1"), "out of order in q: got 1"},
		"failed, no key": {append(good, "10 sent p-1-1 -", "11 begin q p-1-1 - 1", "12 failed p-1-1 not-delivered no room"), "certainly failed: got 1"},
		"uncertain":      {append(good, "10 sent p-1-1 -", "11 begin q p-1-1 - 1", "12 failed p-1-1 uncertain no answer"), ""},
		"cut short":      {append(good, "10 sent p-0-4"), ""},
		"none":           {[]string{"1 sent p-0-1 k"}, "nothing was published"},
	} {
		v := new(verdict)
		v.check(read(t, c.lines...), "q")
		text := strings.Join(v.notes, ", ")
		if v.failed != (c.want != "") || !strings.Contains(text, c.want) {
			t.Errorf("%s: failed is %v, %q; want %q in it", name, v.failed, text, c.want)
		}
	}
}

func TestCheckerCountsDuplicatesAndErrors(t *testing.T) {
	got := read(t, "1 sent p-0-1 k", "2 done q p-0-1", "3 done q p-0-1", "4 done q p-0-1", "5 ok p-0-1 2000000", "6 sent p-0-2 k",
		"7 failed p-0-2 uncertain why not", "8 sent p-0-3 k", "9 end 7 99")
	if n := got.duplicated("q"); n != 2 {
		t.Errorf("duplicates: got %d, want 2", n)
	}
	if d := got.latency(0.99); d != 2*time.Millisecond {
		t.Errorf("latency: got %v, want 2ms", d)
	}
	v := new(verdict)
	v.noErrors(got)
	text := strings.Join(v.notes, ", ")
	for _, want := range []string{"errors of Publish: got 1", "why not", "never returned: got 1"} {
		if !strings.Contains(text, want) {
			t.Errorf("got %q, want %q in it", text, want)
		}
	}
	if got.routines != 7 || got.memory != 99 {
		t.Errorf("end: got %d goroutines, %d KiB, want 7 and 99", got.routines, got.memory)
	}
}
