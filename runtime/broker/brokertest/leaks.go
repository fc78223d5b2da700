package brokertest

import (
	"bytes"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// goroutines returns the stacks of all goroutines but the caller's, by their
// first word, which holds the number that is never used again.
func goroutines() map[string]string {
	buf := make([]byte, 1<<20)
	for {
		n := runtime.Stack(buf, true)
		if n < len(buf) {
			buf = buf[:n]
			break
		}
		buf = make([]byte, 2*len(buf))
	}
	stacks := strings.Split(string(buf), "\n\n")
	all := make(map[string]string, len(stacks))
	for _, stack := range stacks[1:] { // the first one is the caller's
		name, _, _ := strings.Cut(stack, " [")
		all[name] = stack
	}
	return all
}

// checkLeaks fails when goroutines are left that were not there before.
func (e *env) checkLeaks(before map[string]string) {
	e.Helper()
	var left []string
	deadline := time.After(e.Deadline)
	ticker := time.NewTicker(2 * time.Millisecond)
	defer ticker.Stop()
	for {
		if left = e.leaked(before); len(left) == 0 {
			return
		}
		select {
		case <-ticker.C:
		case <-deadline:
			e.Errorf("%d goroutines are left %v after the test:\n\n%s", len(left), e.Deadline, strings.Join(left, "\n\n"))
			return
		}
	}
}

func (e *env) leaked(before map[string]string) []string {
	var left []string
	for name, stack := range goroutines() {
		if _, ok := before[name]; !ok && !e.ignored(stack) {
			left = append(left, stack)
		}
	}
	return left
}

func (e *env) ignored(stack string) bool {
	for _, part := range e.IgnoreGoroutines {
		if strings.Contains(stack, part) {
			return true
		}
	}
	return strings.Contains(stack, "testing.(*T).Run") || strings.Contains(stack, "testing.(*M).")
}

// logBuffer keeps what brokers log, to show it when their test fails.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

const maxLogBytes = 4 << 10

// Write implements io.Writer.
func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.buf.Len() < maxLogBytes {
		l.buf.Write(p)
	}
	return len(p), nil
}

func (l *logBuffer) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, nil))
}

func (l *logBuffer) flush(t testing.TB) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if t.Failed() && l.buf.Len() > 0 {
		t.Logf("log of the brokers:\n%s", l.buf.String())
	}
}
