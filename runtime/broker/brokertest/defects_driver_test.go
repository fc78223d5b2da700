package brokertest

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/micro-event/micro-event/runtime/broker"
)

// defect is a deliberate fault, and the test that must find it.
type defect struct {
	name   string
	caught string
	change func(*lab)
}

type publishNext = func(context.Context, publication) error

// publishDefects are faults of Publish in a driver.
func publishDefects() []defect {
	return []defect{
		{"loses every fifth message", "P1_nil_means_accepted", func(l *lab) {
			var n atomic.Int64
			l.publish = func(ctx context.Context, p publication, next publishNext) error {
				if n.Add(1)%5 == 0 {
					return nil
				}
				return next(ctx, p)
			}
		}},
		{"accepts before the message is stored", "P1_nil_outlives_the_publisher", acceptEarly},
		{"loses what it accepted when it disconnects", "U3_disconnect_while_publishing", acceptEarly},
		{"duplicates every seventh message", "S2_three_queues_run_each_handler_once", func(l *lab) {
			duplicateEvery(l, 7)
		}},
		{"duplicates one message in a thousand", "P6_many_messages_from_64_publishers", func(l *lab) {
			l.features.Messages = 3000
			duplicateEvery(l, 1001)
		}},
		{"swaps messages of one key", "P5_keys_reach_every_queue_in_order", func(l *lab) { swap(l, true) }},
		{"swaps messages without a key", "S4_no_key_starts_in_arrival_order", func(l *lab) { swap(l, false) }},
		{"says nil when nobody subscribes", "P2_nobody_subscribes", func(l *lab) {
			l.publish = forgive(broker.ErrNoSubscribers)
		}},
		{"delivers what it had withdrawn", "P2_a_withdrawn_message_is_never_delivered", func(l *lab) {
			l.publish = func(ctx context.Context, p publication, next publishNext) error {
				err := next(ctx, p)
				if err != nil && ctx.Err() != nil {
					p = p.kept()
					later, cancel := context.WithTimeout(context.Background(), time.Second)
					go func() { defer cancel(); next(later, p) }() //nolint:errcheck // it is the defect
				}
				return err
			}
		}},
	}
}

// roomDefects are faults of a Publish that waits.
func roomDefects() []defect {
	return []defect{
		{"waits for room beyond the context", "P3_context_bounds_waiting_for_room", func(l *lab) {
			l.publish = func(ctx context.Context, p publication, next publishNext) error {
				return next(context.WithoutCancel(ctx), p)
			}
		}},
		{"waits although told not to", "P6_no_wait_is_backpressure", func(l *lab) {
			l.publish = func(ctx context.Context, p publication, next publishNext) error {
				p.options.NoWait = false
				return next(ctx, p)
			}
		}},
		{"drops when it is full", "P6_a_full_queue_loses_nothing", func(l *lab) {
			l.publish = func(ctx context.Context, p publication, next publishNext) error {
				p.options.NoWait = true
				return forgive(broker.ErrBackpressure)(ctx, p, next)
			}
		}},
		{"drops what a slow subscriber has not handled", "P6_a_slow_subscriber_loses_nothing", dropBehindSlow},
		{"publishes on after it was closed", "U3_disconnect_ends_a_waiting_publish", func(l *lab) {
			l.publish = func(ctx context.Context, p publication, next publishNext) error {
				err := next(ctx, p)
				if errors.Is(err, broker.ErrClosed) {
					return errors.Join(err, pause(context.WithoutCancel(ctx), 2*impatience))
				}
				return err
			}
		}},
		{"takes its end for proof", "U3_a_publish_that_is_cut_is_uncertain", func(l *lab) {
			waits(l)
			inner := l.publish
			l.publish = func(ctx context.Context, p publication, next publishNext) error {
				err := inner(ctx, p, next)
				if errors.Is(err, broker.ErrClosed) {
					return broker.NotDelivered(err)
				}
				return err
			}
		}},
	}
}

// recordDefects are faults in what a driver keeps of a message, and for which topic.
func recordDefects() []defect {
	return []defect{
		{"changes the published message", "P4_the_message_is_not_changed", func(l *lab) {
			l.publish = func(ctx context.Context, p publication, next publishNext) error {
				err := next(ctx, p)
				copy(p.record.Body, "!")
				return err
			}
		}},
		{"keeps the published message", "P4_the_message_is_not_kept", keepMessages},
		{"mixes up topics", "S2_a_queue_belongs_to_its_topic", func(l *lab) {
			l.publish = func(ctx context.Context, p publication, next publishNext) error {
				p.topic = "all"
				return next(ctx, p)
			}
			l.open = func(ctx context.Context, s broker.SourceSpec, next opener) (broker.Source, error) {
				s.Topic = "all"
				return next(ctx, s)
			}
		}},
		{"keeps all bodies in memory", "S5_memory_stays_flat", func(l *lab) {
			var mu sync.Mutex
			var kept [][]byte
			l.publish = func(ctx context.Context, p publication, next publishNext) error {
				mu.Lock()
				kept = append(kept, bytes.Clone(p.record.Body))
				mu.Unlock()
				return next(ctx, p)
			}
		}},
	}
}

// forgive makes an error of Publish a success.
func forgive(pardoned error) func(context.Context, publication, publishNext) error {
	return func(ctx context.Context, p publication, next publishNext) error {
		if err := next(ctx, p); !errors.Is(err, pardoned) {
			return err
		}
		return nil
	}
}

func duplicateEvery(l *lab, every int64) {
	var n atomic.Int64
	l.publish = func(ctx context.Context, p publication, next publishNext) error {
		if err := next(ctx, p); err != nil || n.Add(1)%every != 0 {
			return err
		}
		return next(ctx, p)
	}
}

// acceptEarly stores a message only when the next one comes, or a moment later.
func acceptEarly(l *lab) {
	var closed atomic.Bool
	l.publish = func(ctx context.Context, p publication, next publishNext) error {
		p = p.kept()
		time.AfterFunc(2*time.Millisecond, func() {
			if !closed.Load() {
				next(context.WithoutCancel(ctx), p) //nolint:errcheck // it is the defect
			}
		})
		return nil
	}
	l.close = func(ctx context.Context, next func(context.Context) error) error {
		closed.Store(true)
		return next(ctx)
	}
}

// swap publishes every fourth message after the one that follows it.
func swap(l *lab, keyed bool) {
	var mu sync.Mutex
	held := make(map[string]*publication)
	n := 0
	l.publish = func(ctx context.Context, p publication, next publishNext) error {
		mu.Lock()
		defer mu.Unlock()
		if keyed != (p.record.Key != "") {
			return next(ctx, p)
		}
		lane := p.topic + p.record.Key
		if before := held[lane]; before != nil {
			delete(held, lane)
			return errors.Join(next(ctx, p), next(ctx, *before))
		}
		if n++; n%4 == 0 {
			p = p.kept()
			held[lane] = &p
			return nil
		}
		return next(ctx, p)
	}
}

// dropBehindSlow drops messages while more than ten are not settled.
func dropBehindSlow(l *lab) {
	var waiting atomic.Int64
	l.publish = func(ctx context.Context, p publication, next publishNext) error {
		if waiting.Add(1) > 10 {
			waiting.Add(-1)
			return nil
		}
		return next(ctx, p)
	}
	l.sources(func(_ broker.SourceSpec, s *labSource) {
		s.settle = func(ctx context.Context, r *broker.Raw, o broker.Outcome, cause error) error {
			waiting.Add(-1)
			return s.Source.Settle(ctx, r, o, cause)
		}
	})
}

// keepMessages gives handlers what the publisher passed, not a copy.
func keepMessages(l *lab) {
	var mu sync.Mutex
	kept := make(map[string][]byte)
	l.publish = func(ctx context.Context, p publication, next publishNext) error {
		mu.Lock()
		kept[p.topic+string(p.record.Body)] = p.record.Body
		mu.Unlock()
		return next(ctx, p)
	}
	l.sources(func(spec broker.SourceSpec, s *labSource) {
		s.load = func(r *broker.Raw) (broker.Record, error) {
			m, err := s.Source.Load(r)
			mu.Lock()
			defer mu.Unlock()
			if body := kept[spec.Topic+string(m.Body)]; body != nil {
				m.Body = body
			}
			return m, err
		}
	})
}

// messageDefects are faults in what a driver carries.
func messageDefects() []defect {
	loaded := func(change func(m *broker.Record)) func(*lab) {
		return func(l *lab) {
			l.sources(func(_ broker.SourceSpec, s *labSource) {
				s.load = func(r *broker.Raw) (broker.Record, error) {
					m, err := s.Source.Load(r)
					change(&m)
					return m, err
				}
			})
		}
	}
	headers := func(change func(name, value string) (string, string, bool)) func(*lab) {
		return loaded(func(m *broker.Record) {
			var header []broker.Field
			for _, f := range m.Header {
				if name, value, ok := change(f.Name, f.Value); ok {
					header = append(header, broker.Field{Name: name, Value: value})
				}
			}
			m.Header = header
		})
	}
	return []defect{
		{"loses empty headers", "M1_headers_arrive_exactly", headers(func(n, v string) (string, string, bool) {
			return n, v, v != ""
		})},
		{"recases header names", "M1_headers_arrive_exactly", headers(func(n, v string) (string, string, bool) {
			return strings.ToLower(n), v, true
		})},
		{"splits values at line ends", "M1_headers_arrive_exactly", headers(func(n, v string) (string, string, bool) {
			v, _, _ = strings.Cut(v, "\n")
			return n, v, true
		})},
		{"trims header values", "M1_each_awkward_header_arrives_alone", headers(func(n, v string) (string, string, bool) {
			return n, strings.TrimSpace(v), true
		})},
		{"cuts long header values", "M1_the_largest_headers_arrive", headers(func(n, v string) (string, string, bool) {
			return n, v[:min(len(v), 8<<10)], true
		})},
		{"adds a header", "M1_nothing_is_added", loaded(func(m *broker.Record) {
			m.Header = append(slices.Clone(m.Header), broker.Field{Name: "x-received", Value: "now"})
		})},
		{"cuts keys at control characters", "M1_keys_arrive_exactly", loaded(func(m *broker.Record) {
			if i := strings.IndexFunc(m.Key, func(r rune) bool { return r < ' ' }); i >= 0 {
				m.Key = m.Key[:i]
			}
		})},
		{"cuts bodies at NUL", "M1_bodies_arrive_exactly", loaded(func(m *broker.Record) {
			m.Body, _, _ = bytes.Cut(m.Body, []byte{0})
		})},
		{"cuts bodies at 1 MiB", "M2_the_largest_body_arrives", loaded(func(m *broker.Record) {
			m.Body = m.Body[:min(len(m.Body), 1<<20)]
		})},
		{"uses a list of headers again", "M1_headers_stay_after_the_handler", func(l *lab) {
			var list []broker.Field
			l.sources(func(_ broker.SourceSpec, s *labSource) {
				s.load = func(r *broker.Raw) (broker.Record, error) {
					m, err := s.Source.Load(r)
					list = append(list[:0], m.Header...)
					m.Header = list
					return m, err
				}
			})
		}},
		{"loses headers on a second read", "M1_exact_after_a_retry", func(l *lab) {
			l.sources(func(_ broker.SourceSpec, s *labSource) {
				seen := make(map[any]bool)
				var mu sync.Mutex
				s.load = func(r *broker.Raw) (broker.Record, error) {
					m, err := s.Source.Load(r)
					mu.Lock()
					defer mu.Unlock()
					if seen[r.Value] {
						m.Header = nil
					}
					seen[r.Value] = true
					return m, err
				}
			})
		}},
	}
}
