package main

import (
	"context"
	"io"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// lines collects what a node writes, and tells when a line was written.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
	news chan struct{}
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case l.news <- struct{}{}:
	default:
	}
	return l.text.Write(p)
}

func (l *lines) count(word string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), " "+word)
}

// TestNodes lets one node publish and one subscribe, fail and work.
func TestNodes(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	sub := &lines{news: make(chan struct{}, 1)}
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, strings.Fields("-subscribe t -queue a,b -broadcast 1 -in-flight 2 -fail-every 10 -work 100us"), sub, io.Discard)
	}()
	for sub.count("ready") == 0 {
		select {
		case <-sub.news:
		case err := <-ended:
			t.Fatal(err)
		case <-time.After(10 * time.Second):
			t.Fatal("the subscriber is not ready")
		}
	}
	pub := &lines{news: make(chan struct{}, 1)}
	if err := run(t.Context(), strings.Fields("-publish t -count 100 -callers 5 -keys 7 -rate 5000 -timeout 10s"), pub, io.Discard); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("subscriber: %v", err)
	}
	for word, want := range map[string]int{"sent": 100, "ok": 100, "failed": 0, "end": 1} {
		if got := pub.count(word + " "); got != want {
			t.Errorf("publisher, lines %q: got %d, want %d", word, got, want)
		}
	}
	if got := sub.count("done "); got != 300 {
		t.Errorf("subscriber, lines done: got %d, want 300", got)
	}
	if got := sub.count("error "); got == 0 {
		t.Error("no attempt failed, though every tenth was to")
	}
}

func TestFlagsThatAreWrong(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	for _, args := range [][]string{
		{"-unknown"},
		{"-insecure-listen", "nonsense"},
		{"-listen", "0.0.0.0:0"},
		{"-subscribe", "a b", "-queue", "q"},
		{"-journal", filepath.Join(t.TempDir(), "missing", "file")},
	} {
		if err := run(t.Context(), args, io.Discard, io.Discard); err == nil {
			t.Errorf("%q: got nil, want an error", args)
		}
	}
}
