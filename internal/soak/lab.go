//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	topic     = "soak.events"
	readyTime = 10 * time.Second
	exitTime  = 60 * time.Second
)

// lab is where one row runs: a namespace and its processes.
type lab struct {
	dir, node, namespace string
	processes            []*process
	closers              []func() error
}

func newLab(_ context.Context, dir, node string) (*lab, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	return &lab{dir: dir, node: node, namespace: fmt.Sprintf("soak-%d-%s", os.Getpid(), filepath.Base(dir))}, nil
}

// close ends what the row has left running.
func (l *lab) close() error {
	var errs []error
	for _, p := range l.processes {
		p.signal(syscall.SIGCONT)
		p.kill()
	}
	for _, closer := range slices.Backward(l.closers) {
		errs = append(errs, closer())
	}
	registry := filepath.Join(os.TempDir(), fmt.Sprintf("micro-event-%d-%s", os.Getuid(), l.namespace))
	return errors.Join(append(errs, os.RemoveAll(registry))...)
}

// process is a node.
type process struct {
	name    string
	cmd     *exec.Cmd
	journal string
	errors  *strings.Builder
	exited  chan struct{}
	status  error // after exited
}

// start runs a node. Its journal is that of all nodes with the name.
func (l *lab) start(ctx context.Context, name string, args ...string) (*process, error) {
	return l.startIn(ctx, nil, name, args...)
}

// startIn is start with words before the command, such as those that choose a
// network namespace.
func (l *lab) startIn(ctx context.Context, before []string, name string, args ...string) (*process, error) {
	p := &process{name: name, journal: filepath.Join(l.dir, name+".journal"), errors: new(strings.Builder), exited: make(chan struct{})}
	words := append(append(before, l.node), args...)
	words = append(words, "-namespace", l.namespace, "-journal", p.journal)
	if !slices.Contains(args, "-name") {
		words = append(words, "-name", name)
	}
	p.cmd = exec.CommandContext(ctx, words[0], words[1:]...) //nolint:gosec // the words are ours
	p.cmd.Stderr = p.errors
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		p.status = p.cmd.Wait()
		close(p.exited)
	}()
	l.processes = append(l.processes, p)
	return p, nil
}

// subscriber runs a node and returns when its subscriptions are live.
func (l *lab) subscriber(ctx context.Context, name string, args ...string) (*process, error) {
	before := l.readies(name)
	p, err := l.start(ctx, name, append([]string{"-subscribe", topic}, args...)...)
	if err != nil {
		return nil, err
	}
	return p, l.awaitReady(ctx, p, before)
}

func (l *lab) readies(name string) int {
	text, err := os.ReadFile(filepath.Join(l.dir, name+".journal"))
	if err != nil {
		return 0
	}
	return strings.Count(string(text), " ready\n")
}

func (l *lab) awaitReady(ctx context.Context, p *process, before int) error {
	deadline := time.After(readyTime)
	for l.readies(p.name) <= before {
		select {
		case <-p.exited:
			return fmt.Errorf("%s ended: %w: %s", p.name, p.status, p.errors)
		case <-deadline:
			return fmt.Errorf("%s is not ready after %v", p.name, readyTime)
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
	return nil
}

// publisher runs a node that publishes.
func (l *lab) publisher(ctx context.Context, name string, args ...string) (*process, error) {
	return l.start(ctx, name, append([]string{"-publish", topic}, args...)...)
}

func (p *process) signal(s os.Signal) {
	p.cmd.Process.Signal(s) //nolint:errcheck // it has ended
}

// kill ends a process at once.
func (p *process) kill() {
	p.signal(syscall.SIGKILL)
	<-p.exited
}

// stop asks a process to end and waits for it.
func (p *process) stop() error {
	p.signal(syscall.SIGTERM)
	return p.wait()
}

// wait returns when the process has ended by itself.
func (p *process) wait() error {
	select {
	case <-p.exited:
	case <-time.After(exitTime):
		p.kill()
		return fmt.Errorf("%s does not end", p.name)
	}
	if p.status != nil {
		return fmt.Errorf("%s: %w: %s", p.name, p.status, p.errors)
	}
	return nil
}

// pause waits, or returns early when ctx ends.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

func itoa(n int) string { return strconv.Itoa(n) }
