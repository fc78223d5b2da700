package spoolbroker

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/micro-event/micro-event/runtime/broker"
)

// pollInterval is how often an empty queue is looked at.
const pollInterval = 5 * time.Millisecond

var errStopped = errors.New("spool: source is stopped")

// source is one member of a queue.
type source struct {
	dir     string // of the queue
	own     bool   // the queue ends with the source
	member  string
	ackWait time.Duration

	reclaimed time.Time // when it last looked for what others left
	stopped   chan struct{}
	stop      sync.Once
}

// held is what a Raw carries: the message as it was read.
type held struct {
	name    string // of the file in ready
	content []byte
}

// Receive implements [broker.Source].
func (s *source) Receive(ctx context.Context, buf []broker.Raw) (int, error) {
	poll := time.NewTicker(pollInterval)
	defer poll.Stop()
	for {
		select { // first of all, so that nothing is taken after Stop
		case <-s.stopped:
			return 0, errStopped
		default:
		}
		if n, err := s.take(buf); n > 0 || err != nil {
			return n, err
		}
		select {
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		case <-s.stopped:
		case <-poll.C:
		}
	}
}

// take claims the oldest messages.
func (s *source) take(buf []broker.Raw) (int, error) {
	if err := s.reclaim(); err != nil {
		return 0, err
	}
	files, err := os.ReadDir(filepath.Join(s.dir, "ready")) // sorted by name
	if err != nil {
		return 0, err
	}
	n := 0
	for _, file := range files[:min(len(files), len(buf))] {
		content, ok, err := s.claim(file.Name())
		if err != nil {
			return n, err
		}
		if ok {
			buf[n] = broker.Raw{Key: keyOf(content), Value: &held{file.Name(), content}}
			n++
		}
	}
	return n, nil
}

// claim moves a message to this member, unless another one was faster.
func (s *source) claim(name string) (content []byte, ok bool, err error) {
	ready := filepath.Join(s.dir, "ready", name)
	now := time.Now() // the time of the file is its ack clock, so it must run before the claim
	if err = os.Chtimes(ready, now, now); err == nil {
		err = os.Rename(ready, s.heldPath(name))
	}
	if err == nil {
		content, err = os.ReadFile(s.heldPath(name))
	}
	if errors.Is(err, os.ErrNotExist) {
		return nil, false, nil
	}
	return content, err == nil, err
}

// reclaim returns what members hold that have not been heard of for the ack
// wait.
func (s *source) reclaim() error {
	if time.Since(s.reclaimed) < s.ackWait/3 {
		return nil
	}
	s.reclaimed = time.Now()
	files, err := os.ReadDir(filepath.Join(s.dir, "held"))
	if err != nil {
		return err
	}
	for _, file := range files {
		info, err := file.Info()
		if err != nil || time.Since(info.ModTime()) < s.ackWait {
			continue // settled meanwhile, or alive
		}
		name, _, _ := strings.Cut(file.Name(), "~")
		err = os.Rename(filepath.Join(s.dir, "held", file.Name()), filepath.Join(s.dir, "ready", name))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

func (s *source) heldPath(name string) string {
	return filepath.Join(s.dir, "held", name+"~"+s.member)
}

// keyOf returns the key of a message, or none if it cannot be decoded: Load
// reports that.
func keyOf(content []byte) string {
	var r broker.Record
	if json.Unmarshal(content, &r) != nil {
		return ""
	}
	return r.Key
}

// Load implements [broker.Source].
func (s *source) Load(r *broker.Raw) (broker.Record, error) {
	var record broker.Record
	content := r.Value.(*held).content
	if err := json.Unmarshal(content, &record); err != nil {
		return broker.Record{Body: content}, err
	}
	return record, nil
}

// Settle implements [broker.Source]. A file that is gone was reclaimed.
func (s *source) Settle(_ context.Context, r *broker.Raw, o broker.Outcome, _ error) error {
	name := r.Value.(*held).name
	var err error
	if o == broker.GiveBack {
		err = os.Rename(s.heldPath(name), filepath.Join(s.dir, "ready", name))
	} else {
		err = os.Remove(s.heldPath(name))
	}
	if errors.Is(err, os.ErrNotExist) {
		return broker.ErrStale
	}
	return err
}

// Extend implements [broker.Source]. A message whose clock cannot be set is
// delivered again, as after any lost sign of life.
func (s *source) Extend(_ context.Context, messages []broker.Raw) {
	now := time.Now()
	for _, r := range messages {
		_ = os.Chtimes(s.heldPath(r.Value.(*held).name), now, now) //nolint:errcheck // see above
	}
}

// Stale implements [broker.StaleChecker].
func (s *source) Stale(r *broker.Raw) bool {
	_, err := os.Stat(s.heldPath(r.Value.(*held).name))
	return errors.Is(err, os.ErrNotExist)
}

// Stop implements [broker.Source].
func (s *source) Stop(context.Context) error {
	s.stop.Do(func() { close(s.stopped) })
	return nil
}

// Close implements [broker.Source].
func (s *source) Close(context.Context) error {
	if s.own {
		return os.RemoveAll(s.dir)
	}
	return nil
}
