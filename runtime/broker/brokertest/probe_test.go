package brokertest

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
)

// probe is a testing.TB that may fail without failing the test that watches it.
// It has the methods that the suite uses; the others panic.
type probe struct {
	testing.TB
	name   string
	ctx    context.Context
	cancel context.CancelFunc

	mu              sync.Mutex
	failed, skipped bool
	texts           []string
	cleanups        []func()
}

// try runs f as a test of its own.
func try(name string, f func(testing.TB)) *probe {
	p := &probe{name: name}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.guard(func() { f(p) })
	p.cancel()
	for {
		p.mu.Lock()
		n := len(p.cleanups)
		if n == 0 {
			p.mu.Unlock()
			return p
		}
		cleanup := p.cleanups[n-1]
		p.cleanups = p.cleanups[:n-1]
		p.mu.Unlock()
		p.guard(cleanup)
	}
}

// guard runs f to its end, its FailNow or its panic.
func (p *probe) guard(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			if v := recover(); v != nil {
				p.Errorf("panic: %v\n%s", v, debug.Stack())
			}
		}()
		f()
	}()
	<-done
}

func (p *probe) note(failed bool, text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failed = p.failed || failed
	p.texts = append(p.texts, text)
}

func (p *probe) Helper()                  {}
func (p *probe) Name() string             { return p.name }
func (p *probe) Context() context.Context { return p.ctx }
func (p *probe) Log(a ...any)             { p.note(false, fmt.Sprint(a...)) }
func (p *probe) Logf(f string, a ...any)  { p.note(false, fmt.Sprintf(f, a...)) }
func (p *probe) Error(a ...any)           { p.note(true, fmt.Sprint(a...)) }
func (p *probe) Errorf(f string, a ...any) {
	p.note(true, fmt.Sprintf(f, a...))
}
func (p *probe) Fatal(a ...any)            { p.Error(a...); runtime.Goexit() }
func (p *probe) Fatalf(f string, a ...any) { p.Errorf(f, a...); runtime.Goexit() }
func (p *probe) Skip(a ...any)             { p.Skipf("%s", fmt.Sprint(a...)) }
func (p *probe) Skipf(f string, a ...any) {
	p.note(false, fmt.Sprintf(f, a...))
	p.mu.Lock()
	p.skipped = true
	p.mu.Unlock()
	runtime.Goexit()
}

func (p *probe) Failed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.failed
}

func (p *probe) Cleanup(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cleanups = append(p.cleanups, f)
}

func (p *probe) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(slices.Clone(p.texts), "\n")
}
