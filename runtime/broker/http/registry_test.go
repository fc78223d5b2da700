package httpbroker

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

const topicName = "orders"

var (
	queueEntry  = Entry{Topic: topicName, Queue: "billing"}
	memberEntry = Entry{Topic: topicName, Queue: "billing", Instance: "m1", Address: "127.0.0.1:8080"}
	singleEntry = Entry{Topic: topicName, Instance: "m2", Address: "127.0.0.1:8080"}
)

// registries are those that remember what is registered. Those of one call know
// the same.
func registries(t *testing.T) map[string]func() Registry {
	t.Helper()
	memory := NewMemoryRegistry()
	dir := filepath.Join(t.TempDir(), "registry")
	return map[string]func() Registry{
		"memory": func() Registry { return memory },
		"directory": func() Registry {
			r, err := openDirectory(dir)
			if err != nil {
				t.Fatal(err)
			}
			return r
		},
	}
}

func lookup(t *testing.T, r Registry) []Entry {
	t.Helper()
	v, err := r.Lookup(t.Context(), topicName)
	if err != nil {
		t.Fatal(err)
	}
	return v.Entries
}

func register(t *testing.T, r Registry, ttl time.Duration, entries ...Entry) {
	t.Helper()
	for _, e := range entries {
		if err := r.Register(t.Context(), e, ttl); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRegistryKnowsWhatWasRegistered(t *testing.T) {
	for name, open := range registries(t) {
		t.Run(name, func(t *testing.T) {
			r, other := open(), open()
			if got := lookup(t, other); len(got) != 0 {
				t.Errorf("at first: got %v, want nothing", got)
			}
			all := []Entry{singleEntry, queueEntry, memberEntry}
			for i := range 50 { // each is seen as soon as Register has returned
				register(t, r, time.Hour, all...)
				if got := lookup(t, other); !slices.Equal(got, all) {
					t.Fatalf("round %d: got %v, want %v", i, got, all)
				}
				for _, e := range []Entry{memberEntry, singleEntry} {
					if err := r.Deregister(t.Context(), e); err != nil {
						t.Fatal(err)
					}
				}
				awaitEntries(t, other, queueEntry)
			}
		})
	}
}

// awaitEntries waits until a registry says exactly this.
func awaitEntries(t *testing.T, r Registry, want ...Entry) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for {
		v, err := r.Lookup(ctx, topicName)
		if err != nil {
			t.Fatal(err)
		}
		if slices.Equal(v.Entries, want) {
			return
		}
		if err := r.Watch(ctx, topicName, v); err != nil {
			t.Fatalf("waited for %v, got %v: %v", want, v.Entries, err)
		}
	}
}

func TestRegistryForgetsWhatIsNotRenewed(t *testing.T) {
	for name, open := range registries(t) {
		t.Run(name, func(t *testing.T) {
			r := open()
			register(t, r, time.Hour, queueEntry)
			register(t, r, 20*time.Millisecond, memberEntry)
			awaitEntries(t, open(), queueEntry)
		})
	}
}

func TestRegistryRefusesNonsense(t *testing.T) {
	for name, open := range registries(t) {
		for _, e := range []Entry{
			{},
			{Topic: "a b", Queue: "q"},
			{Topic: "t"},
			{Topic: "t", Queue: "../q"},
			{Topic: "t", Queue: "q", Instance: "a/b", Address: "127.0.0.1:80"},
			{Topic: "t", Queue: "q", Instance: "i", Address: "127.0.0.1"},
			{Topic: "t", Queue: "q", Instance: "i"},
			{Topic: "t", Address: "127.0.0.1:80"},
		} {
			if err := open().Register(t.Context(), e, time.Hour); !errors.Is(err, errEntry) {
				t.Errorf("%s: register %+v: got %v, want errEntry", name, e, err)
			}
		}
	}
}

func TestRegistryWatchEndsWithItsContext(t *testing.T) {
	for name, open := range registries(t) {
		t.Run(name, func(t *testing.T) {
			r := open()
			v, err := r.Lookup(t.Context(), topicName)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
			defer cancel()
			if err := r.Watch(ctx, topicName, v); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v, want DeadlineExceeded", err)
			}
		})
	}
}

func TestDirectoryMustBePrivate(t *testing.T) {
	dir := t.TempDir()
	private := filepath.Join(dir, "private")
	if _, err := openDirectory(private); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(private); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("mode of a new directory: got %v, %v, want 0700", info.Mode(), err)
	}
	open := filepath.Join(dir, "open")
	if err := os.Mkdir(open, 0o755); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(private, link); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{open, link, file, filepath.Join(dir, "missing", "registry")} {
		if _, err := openDirectory(path); err == nil {
			t.Errorf("%s: got nil, want an error", filepath.Base(path))
		}
	}
	if os.Getuid() == 0 {
		if err := os.Chown(private, 1, 1); err != nil {
			t.Fatal(err)
		}
		if _, err := openDirectory(private); err == nil {
			t.Error("a directory of somebody else: got nil, want an error")
		}
	}
	if _, err := NewDirectoryRegistry("a/../../b"); err == nil {
		t.Error("a namespace that leaves the directory: got nil, want an error")
	}
}

func TestDirectoryIgnoresWhatIsNotItsOwn(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "registry")
	r, err := openDirectory(dir)
	if err != nil {
		t.Fatal(err)
	}
	register(t, r, time.Hour, queueEntry)
	at := filepath.Join(dir, topicName)
	for name, content := range map[string]string{
		".new-1":     "127.0.0.1:80\n1000\n",
		"q@":         "127.0.0.1:80\n1000\n",
		"q@m":        "127.0.0.1:80/x\n1000\n",
		"q@n":        "127.0.0.1:80\n-1\n",
		"q@o":        "127.0.0.1:80\n1000\nmore",
		"a b@m":      "127.0.0.1:80\n1000\n",
		"large@m":    "127.0.0.1:80\n1000\n" + string(make([]byte, 1000)),
		"binary@m":   "\x00\xff",
		"noaddress@": "\n1000\n",
	} {
		if err := os.WriteFile(filepath.Join(at, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(at, "folder@m"), 0o700); err != nil {
		t.Fatal(err)
	}
	fresh, err := openDirectory(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got := lookup(t, fresh); !slices.Equal(got, []Entry{queueEntry}) {
		t.Errorf("got %v, want only %v", got, queueEntry)
	}
}

// TestDirectoryRemovesTheDead finds a member whose process was killed long ago.
func TestDirectoryRemovesTheDead(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "registry")
	r, err := openDirectory(dir)
	if err != nil {
		t.Fatal(err)
	}
	register(t, r, MemberTTL, memberEntry)
	path := r.path(memberEntry)
	old := time.Now().Add(-2 * MemberTTL)
	if err := os.Chtimes(path, old, old); err != nil {
		t.Fatal(err)
	}
	fresh, err := openDirectory(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got := lookup(t, fresh); len(got) != 0 {
		t.Errorf("got %v, want nothing", got)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file is still there: %v", err)
	}
	register(t, r, MemberTTL, memberEntry) // a renewal that comes late after all
	awaitEntries(t, fresh, memberEntry)
}

func TestStaticRegistry(t *testing.T) {
	r, err := NewStaticRegistry(Entry{Topic: topicName, Queue: "billing", Address: "127.0.0.1:1"}, Entry{Topic: "other", Queue: "q"})
	if err != nil {
		t.Fatal(err)
	}
	want := []Entry{queueEntry, {Topic: topicName, Queue: "billing", Address: "127.0.0.1:1"}}
	if got := lookup(t, r); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if _, err := NewStaticRegistry(Entry{Topic: topicName, Instance: "i", Address: "127.0.0.1:1"}); err == nil {
		t.Error("an entry without a queue: got nil, want an error")
	}
}

func TestDNSRegistry(t *testing.T) {
	r, err := NewDNSRegistry(nil, Entry{Topic: topicName, Queue: "billing", Address: "localhost:1"},
		Entry{Topic: topicName, Queue: "shipping", Address: "does-not-exist.invalid:1"})
	if err != nil {
		t.Fatal(err)
	}
	got := lookup(t, r)
	if !slices.Contains(got, Entry{Topic: topicName, Queue: "billing", Address: "127.0.0.1:1"}) {
		t.Errorf("got %v, want 127.0.0.1:1 among them", got)
	}
	if !slices.Contains(got, Entry{Topic: topicName, Queue: "shipping"}) {
		t.Errorf("got %v, want the queue that has no member", got)
	}
}
