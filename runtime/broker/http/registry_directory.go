package httpbroker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/micro-event/micro-event/runtime/broker"
)

// DefaultNamespace is the namespace of the local directory unless [Namespace]
// says otherwise.
const DefaultNamespace = "default"

const (
	// watchInterval is how often a directory is looked at by those who wait for a
	// change. Nobody else does.
	watchInterval = 10 * time.Millisecond

	// settleTime is how old the last change of a directory must be before its time
	// stamp tells later changes from it. File systems stamp with the tick of the
	// kernel, which is 10 ms at most; some only with whole seconds, of which the
	// coarsest takes two.
	settleTime       = 50 * time.Millisecond
	coarseSettleTime = 2100 * time.Millisecond

	// entrySeparator is in no queue name.
	entrySeparator = "@"

	// lookupAge is how old the answer of Lookup may be; Register returns after twice
	// that, so that everybody who looks up later sees the entry.
	lookupAge = time.Millisecond

	maxEntryBytes = 512
)

// DirectoryRegistry is a [Registry] in a directory of the local machine: the
// processes of one user find each other without a word. A member is a file
// "queue@instance" that holds its address, a queue that is known is a file
// "queue", in a directory of their topic. Their times are renewed; those that
// are too old count no more.
//
// Topics that differ only by case are one topic where file names are.
type DirectoryRegistry struct {
	dir    string
	began  time.Time
	none   *View    // of topics without a directory
	topics sync.Map // of *directoryTopic, by name
}

// directoryTopic is what was read of a topic's directory, and when it was looked
// at since the registry began.
type directoryTopic struct {
	checked atomic.Int64
	view    atomic.Pointer[View]

	mu   sync.Mutex
	seen *directoryView
}

// directoryView is what was read of a topic's directory.
type directoryView struct {
	view    *View
	changed time.Time // of the directory, when it was read
	read    time.Time
	until   time.Time // when the first entry expires
}

var _ Registry = (*DirectoryRegistry)(nil)

// NewDirectoryRegistry returns the registry of a namespace of this user. It
// makes the directory, in os.TempDir, and refuses one that belongs to somebody
// else or that others may enter.
func NewDirectoryRegistry(namespace string) (*DirectoryRegistry, error) {
	if err := broker.CheckTopic(namespace); err != nil {
		return nil, fmt.Errorf("namespace: %w", err)
	}
	name := "micro-event-" + strconv.Itoa(os.Getuid()) + "-" + namespace
	return openDirectory(filepath.Join(os.TempDir(), name))
}

func openDirectory(dir string) (*DirectoryRegistry, error) {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("registry: %w", err)
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return nil, fmt.Errorf("registry: %w", err)
	}
	if err := checkPrivate(info); err != nil {
		return nil, fmt.Errorf("registry: directory %s %w", dir, err)
	}
	return &DirectoryRegistry{dir: dir, began: time.Now(), none: new(View)}, nil
}

// Register implements [Registry].
func (r *DirectoryRegistry) Register(ctx context.Context, e Entry, ttl time.Duration) error {
	if err := e.check(); err != nil {
		return err
	}
	if e.member() && e.Instance == "" {
		return fmt.Errorf("%w: no instance", errEntry)
	}
	path := r.path(e)
	content := e.Address + "\n" + strconv.FormatInt(ttl.Milliseconds(), 10) + "\n"
	if old, err := os.ReadFile(path); err == nil && string(old) == content {
		now := time.Now()
		if err := os.Chtimes(path, now, now); err == nil {
			return nil
		}
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("registry: %w", err)
	}
	if err := replaceFile(path, content); err != nil {
		return err
	}
	timer := time.NewTimer(2 * lookupAge)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// replaceFile writes a file that others see whole or not at all.
func replaceFile(path, content string) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return fmt.Errorf("registry: %w", err)
	}
	_, err = f.WriteString(content)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("registry: %w", errors.Join(err, os.Remove(f.Name())))
	}
	return nil
}

// Deregister implements [Registry].
func (r *DirectoryRegistry) Deregister(_ context.Context, e Entry) error {
	if err := os.Remove(r.path(e)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("registry: %w", err)
	}
	return nil
}

func (r *DirectoryRegistry) path(e Entry) string {
	name := e.Queue
	if e.member() {
		name += entrySeparator + e.Instance
	}
	return filepath.Join(r.dir, e.Topic, name)
}

// Lookup implements [Registry]. While nothing changes it costs one call of stat
// in a millisecond.
func (r *DirectoryRegistry) Lookup(_ context.Context, topic string) (*View, error) {
	now := time.Since(r.began)
	if v, ok := r.topics.Load(topic); ok {
		t := v.(*directoryTopic) //nolint:forcetypeassert // it holds nothing else
		if now-time.Duration(t.checked.Load()) < lookupAge {
			return t.view.Load(), nil
		}
	}
	return r.look(topic, now)
}

// settled reports whether a later change of the directory has a later time.
func (d *directoryView) settled() bool {
	if d.changed.Nanosecond() == 0 {
		return d.read.Sub(d.changed) > coarseSettleTime
	}
	return d.read.Sub(d.changed) > settleTime
}

func newDirectoryTopic() *directoryTopic {
	t := new(directoryTopic)
	t.checked.Store(-int64(time.Second)) // never yet
	return t
}

func (r *DirectoryRegistry) look(topic string, now time.Duration) (*View, error) {
	if err := broker.CheckTopic(topic); err != nil {
		return nil, err
	}
	dir := filepath.Join(r.dir, topic)
	info, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return r.none, nil
	}
	if err != nil {
		return nil, fmt.Errorf("registry: %w", err)
	}
	v, _ := r.topics.LoadOrStore(topic, newDirectoryTopic())
	t := v.(*directoryTopic) //nolint:forcetypeassert // it holds nothing else
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.refresh(dir, topic, info.ModTime()); err != nil {
		return nil, err
	}
	t.view.Store(t.seen.view)
	if at := int64(now); at > t.checked.Load() {
		t.checked.Store(at)
	}
	return t.seen.view, nil
}

// refresh reads the directory, unless it has not changed. The caller holds mu.
func (t *directoryTopic) refresh(dir, topic string, changed time.Time) error {
	seen, now := t.seen, time.Now()
	if seen != nil && seen.changed.Equal(changed) && now.Before(seen.until) && seen.settled() {
		return nil
	}
	fresh, err := readTopic(dir, topic, changed, now)
	if err != nil {
		return err
	}
	if seen != nil && seen.view.same(fresh.view) {
		fresh.view = seen.view
	}
	t.seen = fresh
	return nil
}

// Watch implements [Registry]. It looks every 10 ms.
func (r *DirectoryRegistry) Watch(ctx context.Context, topic string, seen *View) error {
	ticker := time.NewTicker(watchInterval)
	defer ticker.Stop()
	for {
		view, err := r.Lookup(ctx, topic)
		if err == nil && view != seen && !seen.same(view) {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), err)
		case <-ticker.C:
		}
	}
}

// readTopic reads the directory of a topic and removes what has expired.
func readTopic(dir, topic string, changed, now time.Time) (*directoryView, error) {
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("registry: %w", err)
	}
	d := &directoryView{changed: changed, read: now, until: now.Add(QueueTTL)}
	entries := make([]Entry, 0, len(files))
	for _, f := range files {
		path := filepath.Join(dir, f.Name())
		info, err := f.Info()
		if err != nil || !info.Mode().IsRegular() || info.Size() > maxEntryBytes {
			continue // gone meanwhile, or none of ours
		}
		content, err := os.ReadFile(path)
		if err != nil {
			continue // gone meanwhile
		}
		e, ttl, err := parseEntry(topic, f.Name(), content)
		if err != nil {
			continue // a hint that makes no sense is none
		}
		expires := info.ModTime().Add(ttl)
		if expires.Before(now) {
			os.Remove(path) //nolint:errcheck // the next one who reads tries again
			continue
		}
		if expires.Before(d.until) {
			d.until = expires
		}
		entries = append(entries, e)
	}
	d.view = newView(entries)
	return d, nil
}

// parseEntry reads an entry from the name and content of its file.
func parseEntry(topic, name string, content []byte) (Entry, time.Duration, error) {
	e := Entry{Topic: topic}
	var isMember bool
	e.Queue, e.Instance, isMember = strings.Cut(name, entrySeparator)
	first, rest, ok := bytes.Cut(content, []byte("\n"))
	second, rest, ok2 := bytes.Cut(rest, []byte("\n"))
	if !ok || !ok2 || len(rest) > 0 || isMember != (len(first) > 0) || isMember && e.Instance == "" {
		return e, 0, fmt.Errorf("%w: file %q", errEntry, name)
	}
	e.Address = string(first)
	ms, err := strconv.ParseUint(string(second), 10, 31)
	if err != nil {
		return e, 0, fmt.Errorf("%w: time to live: %w", errEntry, err)
	}
	return e, time.Duration(ms) * time.Millisecond, e.check()
}
