package broker

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"
)

// fakeDriver is a transport whose every answer a test decides. It carries one
// subscription; what is published comes back from its source.
type fakeDriver struct {
	info       Info
	publishErr error
	connectErr error
	closeErr   error
	lost       func(error)
	published  []*Record
	source     *fakeSource
	declared   []string
	opened     SourceSpec // the last one
}

func newFake(c Capabilities) *fakeDriver {
	return &fakeDriver{info: Info{Name: "fake", Address: "fake://", Capabilities: c}, source: newFakeSource()}
}

func (d *fakeDriver) Info() Info                    { return d.info }
func (d *fakeDriver) Connect(context.Context) error { return d.connectErr }
func (d *fakeDriver) Close(context.Context) error   { return d.closeErr }

func (d *fakeDriver) Publish(_ context.Context, topic string, r *Record, _ PublishOptions) error {
	if d.publishErr != nil {
		return d.publishErr
	}
	c := &Record{Key: r.Key, Header: slices.Clone(r.Header), Body: bytes.Clone(r.Body)}
	d.published = append(d.published, c)
	if d.source.feedFrom == topic {
		d.source.feed(Raw{Key: r.Key, Value: c})
	}
	return nil
}

func (d *fakeDriver) Declare(_ context.Context, topic, queue string) error {
	d.declared = append(d.declared, topic+"/"+queue)
	return nil
}

func (d *fakeDriver) Open(_ context.Context, spec SourceSpec) (Source, error) {
	d.opened = spec
	return d.source, nil
}
func (d *fakeDriver) WatchLink(fn func(error)) { d.lost = fn }

// fakeSource gives what a test feeds and notes how it was settled.
type fakeSource struct {
	feedFrom string
	incoming chan Raw
	stopped  chan struct{}
	stopOnce sync.Once

	mu         sync.Mutex
	receiveErr error
	loadErr    error
	settleErr  error
	stale      map[string]bool // by key
	settled    []settlement
	extended   [][]string // keys
	closed     int
}

type settlement struct {
	key     string
	outcome Outcome
	at      time.Time
}

func newFakeSource() *fakeSource {
	return &fakeSource{incoming: make(chan Raw, 1000), stopped: make(chan struct{}), stale: map[string]bool{}}
}

func (s *fakeSource) feed(r Raw) { s.incoming <- r }

// feedNames feeds messages without keys whose bodies are their names.
func (s *fakeSource) feedNames(partition int32, names ...string) {
	for _, name := range names {
		s.feed(Raw{Partition: partition, Value: &Record{Body: []byte(name)}})
	}
}

func (s *fakeSource) Receive(ctx context.Context, buf []Raw) (int, error) {
	s.mu.Lock()
	err := s.receiveErr
	s.mu.Unlock()
	if err != nil {
		return 0, err
	}
	select {
	case buf[0] = <-s.incoming:
		return 1, nil
	case <-s.stopped:
		return 0, errors.New("stopped")
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

func (s *fakeSource) Load(r *Raw) (Record, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.loadErr != nil {
		return Record{Key: r.Key, Body: []byte("garbage")}, s.loadErr
	}
	return *r.Value.(*Record), nil
}

func (s *fakeSource) Settle(_ context.Context, r *Raw, o Outcome, _ error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.settleErr != nil {
		return s.settleErr
	}
	name := r.Key
	if rec, ok := r.Value.(*Record); ok && name == "" {
		name = string(rec.Body)
	}
	s.settled = append(s.settled, settlement{name, o, time.Now()})
	return nil
}

func (s *fakeSource) Extend(_ context.Context, held []Raw) {
	s.mu.Lock()
	defer s.mu.Unlock()
	keys := make([]string, 0, len(held))
	for _, r := range held {
		keys = append(keys, r.Key)
	}
	s.extended = append(s.extended, keys)
}

func (s *fakeSource) Stale(r *Raw) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stale[r.Key]
}

func (s *fakeSource) Stop(context.Context) error {
	s.stopOnce.Do(func() { close(s.stopped) })
	return nil
}

func (s *fakeSource) Close(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed++
	return nil
}

// outcomes returns how messages were settled, as "name outcome" in order.
func (s *fakeSource) outcomes() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for _, x := range s.settled {
		out = append(out, x.key+" "+x.outcome.String())
	}
	return out
}

func (s *fakeSource) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

func quiet() Option { return WithLogger(slog.New(slog.DiscardHandler)) }

// connected returns a connected broker of d that the test disconnects.
func connected(t *testing.T, d Driver, opts ...Option) *Engine {
	t.Helper()
	e := New(d, append([]Option{quiet()}, opts...)...)
	must(t, e.Connect(t.Context()))
	t.Cleanup(func() { must(t, e.Disconnect(context.Background())) })
	return e
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
