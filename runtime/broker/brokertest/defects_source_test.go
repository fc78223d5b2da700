package brokertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/micro-event/micro-event/runtime/broker"
)

// queueDefects are faults of queues and subscriptions in a driver.
func queueDefects() []defect {
	specs := func(change func(*broker.SourceSpec)) func(*lab) {
		return func(l *lab) {
			l.open = func(ctx context.Context, s broker.SourceSpec, next opener) (broker.Source, error) {
				change(&s)
				return next(ctx, s)
			}
		}
	}
	return []defect{
		{"is not live when Open returns", "S1_live_when_subscribe_returns", openLate},
		{"gives one message to every member", "S2_members_share_a_queue", specs(func(s *broker.SourceSpec) {
			s.Queue = ""
		})},
		{"shares messages between queues", "S2_three_queues_run_each_handler_once", specs(func(s *broker.SourceSpec) {
			s.Queue = "same"
		})},
		{"shares messages between broadcasts", "S2_without_a_queue_each_gets_a_copy", specs(func(s *broker.SourceSpec) {
			if s.Queue == "" {
				s.Queue = "same"
			}
		})},
		{"ends a queue with its last member", "S3_a_queue_outlives_its_members", func(l *lab) {
			g := renewQueues(l)
			l.sources(func(_ broker.SourceSpec, s *labSource) {
				s.close = func(ctx context.Context) error { g.Add(1); return s.Source.Close(ctx) }
			})
		}},
		{"ends queues with a connection", "S3_a_queue_outlives_connections", func(l *lab) {
			g := renewQueues(l)
			l.close = func(ctx context.Context, next func(context.Context) error) error { g.Add(1); return next(ctx) }
		}},
		{"declares nothing", "S3_a_declared_queue_keeps_messages", func(l *lab) {
			l.declare = func(string, string, func(string, string) error) error { return nil }
		}},
		{"declaring a queue again empties it", "S3_a_declared_queue_keeps_messages", func(l *lab) {
			g := renewQueues(l)
			declare := l.declare
			l.declare = func(topic, queue string, next func(string, string) error) error {
				g.Add(1)
				return declare(topic, queue, next)
			}
		}},
		{"keeps a broadcast after its end", "S3_a_broadcast_ends_with_its_subscription", func(l *lab) {
			l.sources(func(_ broker.SourceSpec, s *labSource) {
				s.close = func(context.Context) error { return nil }
			})
		}},
		{"loses the keys of deliveries", "S4_key_order_with_8_in_flight_and_failures", received(func(r *broker.Raw) {
			r.Key = ""
		})},
		{"gives a key to several members", "S4_key_order_across_members", hideKeys},
		{"gives a key to a new member too early", "U2_order_holds_across_a_handover", hideKeys},
		{"ignores Extend", "S5_what_is_held_is_not_delivered_again", func(l *lab) {
			lease(l)
			l.features.Deadline = 6 * leaseTime
			l.sources(func(_ broker.SourceSpec, s *labSource) {
				s.extend = func(context.Context, []broker.Raw) {}
			})
		}},
		{"leaks a goroutine per subscription", "U1_unsubscribe_is_idempotent", func(l *lab) {
			l.sources(func(broker.SourceSpec, *labSource) {
				go func() { <-time.After(time.Second) }()
			})
		}},
	}
}

// openLate opens a source only a moment after it said so.
func openLate(l *lab) {
	l.open = func(_ context.Context, spec broker.SourceSpec, next opener) (broker.Source, error) {
		s := new(labSource)
		opened := make(chan struct{})
		time.AfterFunc(3*time.Millisecond, func() {
			s.Source, _ = next(context.Background(), spec) //nolint:errcheck // the memory driver has no error
			close(opened)
		})
		s.receive = func(ctx context.Context, buf []broker.Raw) (int, error) {
			<-opened
			return s.Source.Receive(ctx, buf)
		}
		return &lateSource{s, opened}, nil
	}
}

// lateSource waits for its source before it stops.
type lateSource struct {
	*labSource
	opened <-chan struct{}
}

func (s *lateSource) Stop(ctx context.Context) error {
	<-s.opened
	return s.Source.Stop(ctx)
}

// received changes deliveries as they come in.
func received(change func(*broker.Raw)) func(*lab) {
	return func(l *lab) {
		l.sources(func(_ broker.SourceSpec, s *labSource) {
			s.receive = func(ctx context.Context, buf []broker.Raw) (int, error) {
				n, err := s.Source.Receive(ctx, buf)
				for i := range buf[:n] {
					change(&buf[i])
				}
				return n, err
			}
		})
	}
}

// generation renames queues when it grows, so that the old ones are forgotten.
type generation struct {
	mu sync.Mutex
	n  int
}

func (g *generation) Add(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.n += n
}

func (g *generation) name(queue string) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return fmt.Sprintf("%s-generation-%d", queue, g.n)
}

func renewQueues(l *lab) *generation {
	g := new(generation)
	l.declare = func(topic, queue string, next func(string, string) error) error {
		return next(topic, g.name(queue))
	}
	l.open = func(ctx context.Context, s broker.SourceSpec, next opener) (broker.Source, error) {
		if s.Queue != "" {
			s.Queue = g.name(s.Queue)
		}
		return next(ctx, s)
	}
	return g
}

// settleDefects are faults of settlement in a driver.
func settleDefects() []defect {
	return []defect{
		{"acknowledges on receipt", "U2_what_has_not_started_goes_back_uncounted", ackOnReceipt},
		{"loses what is given back", "U2_a_parked_retry_goes_back", settled(func(broker.Outcome) broker.Outcome {
			return broker.Ack
		})},
		{"loses what was at hand", "U2_what_was_prefetched_goes_back_uncounted", settled(func(broker.Outcome) broker.Outcome {
			return broker.Ack
		})},
		{"loses what a drain cut", "U2_a_cut_handler_is_given_back_uncounted", settled(func(broker.Outcome) broker.Outcome {
			return broker.Ack
		})},
		{"never acknowledges", "H1_nil_acknowledges", neverAcks},
		{"counts what is given back as failed", "U2_what_has_not_started_goes_back_uncounted", func(l *lab) {
			l.sources(func(_ broker.SourceSpec, s *labSource) {
				s.settle = func(ctx context.Context, r *broker.Raw, o broker.Outcome, cause error) error {
					counted := *r
					counted.Failures++
					return s.Source.Settle(ctx, &counted, o, cause)
				}
			})
		}},
		{"puts what is given back at the end", "U2_order_holds_across_a_handover", giveBackLast},
		{"forgets failed attempts", "H2_attempts_are_counted_across_members", received(func(r *broker.Raw) {
			r.Failures = 0
		})},
		{"counts no deliveries", "H5_max_deliveries_ends_a_crash_loop", received(func(r *broker.Raw) {
			r.Deliveries = 1
		})},
	}
}

func ackOnReceipt(l *lab) {
	l.sources(func(_ broker.SourceSpec, s *labSource) {
		s.receive = func(ctx context.Context, buf []broker.Raw) (int, error) {
			n, err := s.Source.Receive(ctx, buf)
			for i := range buf[:n] {
				record, loadErr := s.Source.Load(&buf[i])
				record.Body = bytes.Clone(record.Body) // it is read after it was settled
				err = errors.Join(err, loadErr, s.Source.Settle(ctx, &buf[i], broker.Ack, nil))
				buf[i].Value = record
			}
			return n, err
		}
		s.load = func(r *broker.Raw) (broker.Record, error) {
			return r.Value.(broker.Record), nil //nolint:forcetypeassert // receive put it there
		}
		s.settle = func(context.Context, *broker.Raw, broker.Outcome, error) error { return nil }
	})
}

func settled(change func(broker.Outcome) broker.Outcome) func(*lab) {
	return func(l *lab) {
		l.sources(func(_ broker.SourceSpec, s *labSource) {
			s.settle = func(ctx context.Context, r *broker.Raw, o broker.Outcome, cause error) error {
				return s.Source.Settle(ctx, r, change(o), cause)
			}
		})
	}
}

// neverAcks gives everything back when the source is closed.
func neverAcks(l *lab) {
	l.sources(func(_ broker.SourceSpec, s *labSource) {
		var mu sync.Mutex
		var kept []broker.Raw
		s.settle = func(_ context.Context, r *broker.Raw, _ broker.Outcome, _ error) error {
			mu.Lock()
			defer mu.Unlock()
			kept = append(kept, *r)
			return nil
		}
		s.close = func(ctx context.Context) error {
			mu.Lock()
			defer mu.Unlock()
			for i := range kept {
				if err := s.Source.Settle(ctx, &kept[i], broker.GiveBack, nil); err != nil {
					return err
				}
			}
			return s.Source.Close(ctx)
		}
	})
}

// giveBackLast publishes what is given back again.
func giveBackLast(l *lab) {
	var mu sync.Mutex
	var again publishNext
	l.publish = func(ctx context.Context, p publication, next publishNext) error {
		mu.Lock()
		again = next
		mu.Unlock()
		return next(ctx, p)
	}
	l.sources(func(spec broker.SourceSpec, s *labSource) {
		s.settle = func(ctx context.Context, r *broker.Raw, o broker.Outcome, cause error) error {
			if o != broker.GiveBack {
				return s.Source.Settle(ctx, r, o, cause)
			}
			mu.Lock()
			defer mu.Unlock()
			m, err := s.Source.Load(r)
			return errors.Join(err, again(ctx, publication{topic: spec.Topic, record: &m}),
				s.Source.Settle(ctx, r, broker.Ack, cause))
		}
	})
}

// connectionDefects are faults of connections in a driver.
func connectionDefects() []defect {
	return []defect{
		{"connects only once", "U3_connect_works_again", func(l *lab) {
			var closes atomic.Int64
			l.connect = func(ctx context.Context, next func(context.Context) error) error {
				if closes.Load() > 1 { // the first is that of the broker which is asked for Info
					return errors.New("connected before")
				}
				return next(ctx)
			}
			l.close = func(ctx context.Context, next func(context.Context) error) error {
				closes.Add(1)
				return next(ctx)
			}
		}},
		{"never comes back", "U4_a_lost_connection_comes_back", func(l *lab) {
			k := newLink(l)
			l.features.Interrupt = func(testing.TB) func() { k.cut(); return func() {} }
		}},
		{"comes back without its subscriptions", "U4_a_lost_connection_comes_back", func(l *lab) {
			k := newLink(l)
			l.sources(func(_ broker.SourceSpec, s *labSource) {
				s.receive = func(ctx context.Context, buf []broker.Raw) (int, error) {
					if _, up := k.state(); up != nil { // it was cut once
						<-ctx.Done()
						return 0, context.Cause(ctx)
					}
					return s.Source.Receive(ctx, buf)
				}
			})
		}},
	}
}
