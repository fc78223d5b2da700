package brokertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/micro-event/micro-event/runtime/broker"
)

// TestTransports runs the suite on memory that behaves as other transports do:
// it must hold for them too, and skip what they cannot do.
func TestTransports(t *testing.T) {
	for name, change := range map[string]func(*lab){
		"lease and lossy link":            func(l *lab) { lease(l); lossyLink(l) },
		"log":                             contiguous,
		"waits":                           waits,
		"prefetching":                     prefetching,
		"least capability and lower case": func(l *lab) { lowerCase(l); leastCapable(l) },
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			l, newBroker := newLab(change)
			l.features.Messages = 1000
			Run(t, newBroker, l.features)
		})
	}
}

// hideKeys keeps the keys from the memory driver, so that it gives the messages
// of one key to any member.
func hideKeys(l *lab) {
	const hidden = "hidden-key"
	l.publish = func(ctx context.Context, p publication, next func(context.Context, publication) error) error {
		p = p.kept()
		p.record.Header = append(p.record.Header, broker.Field{Name: hidden, Value: p.record.Key})
		p.record.Key = ""
		return next(ctx, p)
	}
	l.sources(func(_ broker.SourceSpec, s *labSource) {
		s.load = func(r *broker.Raw) (broker.Record, error) {
			m, err := s.Source.Load(r)
			m.Key, _ = m.Get(hidden)
			m.Header = slices.DeleteFunc(slices.Clone(m.Header), func(f broker.Field) bool { return f.Name == hidden })
			return m, err
		}
		s.receive = func(ctx context.Context, buf []broker.Raw) (int, error) {
			n, err := s.Source.Receive(ctx, buf)
			for i := range buf[:n] {
				m, loadErr := s.Source.Load(&buf[i])
				if loadErr != nil {
					return 0, loadErr
				}
				buf[i].Key, _ = m.Get(hidden)
			}
			return n, err
		}
	})
}

// prefetching takes more than it runs, and knows no keys, as JetStream.
func prefetching(l *lab) {
	hideKeys(l)
	l.info = func(i *broker.Info) {
		i.Prefetch = 16
		i.Capabilities.KeyOrderAcrossMembers = false
		i.Capabilities.NoWait = false
	}
	l.features.Capacity = 0
}

// leastCapable is at most once, as NATS core, and needs its headers encoded.
func leastCapable(l *lab) {
	l.info = func(i *broker.Info) {
		i.Capabilities = broker.Capabilities{}
		i.Headers = broker.HeadersPrintableLower
	}
	l.features.Capacity = 0
	l.features.ServerInProcess = true
}

// lowerCase carries lower-case names and printable values only, as HTTP; the
// others it changes.
func lowerCase(l *lab) {
	l.publish = func(ctx context.Context, p publication, next func(context.Context, publication) error) error {
		p = p.kept()
		for i, f := range p.record.Header {
			value := strings.NewReplacer("\r", " ", "\n", " ", "\x00", " ").Replace(f.Value)
			p.record.Header[i] = broker.Field{Name: strings.ToLower(f.Name), Value: strings.TrimSpace(value)}
		}
		return next(ctx, p)
	}
}

const leaseTime = time.Second // long enough that a busy machine does not let one expire

// lease delivers again what was not extended in time, as JetStream and Redis.
func lease(l *lab) {
	l.info = func(i *broker.Info) {
		i.AckWait = leaseTime
		i.Capabilities.KeyOrderAcrossMembers = false
		i.Capabilities.PersistentAttempts = false
	}
	l.sources(func(_ broker.SourceSpec, s *labSource) {
		s.receive = func(ctx context.Context, buf []broker.Raw) (int, error) {
			n, err := s.Source.Receive(ctx, buf)
			for i := range buf[:n] {
				record, loadErr := s.Source.Load(&buf[i])
				err = errors.Join(err, loadErr)
				record.Body = bytes.Clone(record.Body) // its lease may end before its handler
				buf[i].Failures = 0
				buf[i].Value = newLeased(s.Source, buf[i], record)
			}
			return n, err
		}
		s.load = func(r *broker.Raw) (broker.Record, error) { return leaseOf(r).record, nil }
		s.settle = func(ctx context.Context, r *broker.Raw, o broker.Outcome, cause error) error {
			return leaseOf(r).settle(ctx, o, cause)
		}
		s.extend = func(_ context.Context, held []broker.Raw) {
			for i := range held {
				leaseOf(&held[i]).extend()
			}
		}
	})
}

// leased is a delivery that goes back by itself when its time is over.
type leased struct {
	source broker.Source
	record broker.Record

	mu    sync.Mutex
	raw   broker.Raw // of the source
	over  bool
	timer *time.Timer
}

func newLeased(source broker.Source, raw broker.Raw, record broker.Record) *leased {
	l := &leased{source: source, raw: raw, record: record}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.timer = time.AfterFunc(leaseTime, func() {
		l.settle(context.Background(), broker.GiveBack, nil) //nolint:errcheck // somebody else settled it
	})
	return l
}

func leaseOf(r *broker.Raw) *leased {
	return r.Value.(*leased) //nolint:forcetypeassert // receive puts nothing else there
}

func (l *leased) settle(ctx context.Context, o broker.Outcome, cause error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		return broker.ErrStale
	}
	l.over = true
	l.timer.Stop()
	return l.source.Settle(ctx, &l.raw, o, cause)
}

func (l *leased) extend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.over {
		l.timer.Reset(leaseTime)
	}
}

// contiguous settles in order, and delivers again what was not settled when the
// source ended, as Kafka.
func contiguous(l *lab) {
	l.info = func(i *broker.Info) {
		i.Capabilities.Contiguous = true
		i.Capabilities.PersistentAttempts = false
		i.Capabilities.DeliveryCount = false
		i.Prefetch = 8
	}
	l.sources(func(_ broker.SourceSpec, s *labSource) {
		var mu sync.Mutex
		var open []broker.Raw // in the order of their arrival
		s.receive = func(ctx context.Context, buf []broker.Raw) (int, error) {
			n, err := s.Source.Receive(ctx, buf)
			mu.Lock()
			defer mu.Unlock()
			for i := range buf[:n] {
				buf[i].Failures, buf[i].Deliveries = 0, 0
				open = append(open, buf[i])
			}
			return n, err
		}
		s.settle = func(ctx context.Context, r *broker.Raw, o broker.Outcome, cause error) error {
			mu.Lock()
			defer mu.Unlock()
			if len(open) == 0 || open[0].Value != r.Value {
				return errors.New("settled out of order")
			}
			open[0] = broker.Raw{}
			open = open[1:]
			return s.Source.Settle(ctx, r, o, cause)
		}
		s.close = func(ctx context.Context) error {
			mu.Lock()
			defer mu.Unlock()
			for i := range open {
				if err := s.Source.Settle(ctx, &open[i], broker.GiveBack, nil); err != nil {
					return fmt.Errorf("rewind: %w", err)
				}
			}
			return s.Source.Close(ctx)
		}
	})
}

// link is a connection that can be cut.
type link struct {
	mu       sync.Mutex
	down     bool
	up       chan struct{} // closed when it is up again
	watchers []func(error)
}

var errCut = errors.New("link is cut")

func (k *link) cut() (restore func()) {
	k.set(true, errCut)
	return func() { k.set(false, nil) }
}

func (k *link) set(down bool, reason error) {
	k.mu.Lock()
	if down {
		k.up = make(chan struct{})
	} else {
		close(k.up)
	}
	k.down = down
	watchers := k.watchers
	k.mu.Unlock()
	for _, fn := range watchers {
		fn(reason)
	}
}

func (k *link) state() (down bool, up <-chan struct{}) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.down, k.up
}

// lossyLink has a connection that can be cut. Sources wait until it is back.
func lossyLink(l *lab) { newLink(l) }

func newLink(l *lab) *link {
	k := new(link)
	l.features.Interrupt = func(testing.TB) func() { return k.cut() }
	l.watch = func(fn func(error)) {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.watchers = append(k.watchers, fn)
	}
	l.publish = func(ctx context.Context, p publication, next func(context.Context, publication) error) error {
		if down, _ := k.state(); down {
			return broker.ErrNotConnected
		}
		return next(ctx, p)
	}
	l.sources(func(_ broker.SourceSpec, s *labSource) {
		s.receive = func(ctx context.Context, buf []broker.Raw) (int, error) {
			if down, up := k.state(); down {
				select {
				case <-up:
				case <-ctx.Done():
					return 0, context.Cause(ctx)
				}
			}
			return s.Source.Receive(ctx, buf)
		}
	})
	return k
}
