package redisbroker

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/micro-event/micro-event/runtime/broker"
)

// tidyInterval is how often a member removes from the stream what all queues have
// handled; idleConsumer is when others count as gone for good.
const (
	tidyInterval = time.Second
	idleConsumer = time.Hour
)

// settlements are what a member has still to tell the server.
type settlements struct {
	mu       sync.Mutex
	acked    []string
	returned []string

	news  chan struct{} // has room for one
	ended chan struct{}
	over  chan struct{} // closed when the goroutine has ended
}

func (t *settlements) init() {
	t.news, t.ended, t.over = make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
}

// end stops the goroutine.
func (t *settlements) end() {
	close(t.ended)
	<-t.over
}

// take returns what is to be told.
func (t *settlements) take() (acked, returned []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	acked, returned = t.acked, t.returned
	t.acked, t.returned = nil, nil
	return acked, returned
}

// put adds something to be told.
func (t *settlements) put(acked, returned []string) {
	t.mu.Lock()
	t.acked, t.returned = append(t.acked, acked...), append(t.returned, returned...)
	t.mu.Unlock()
	select {
	case t.news <- struct{}{}:
	default:
	}
}

// Settle implements [broker.Source]. The server is told in the background, of as
// much at once as there is.
func (s *source) Settle(_ context.Context, r *broker.Raw, o broker.Outcome, _ error) error {
	d := deliveryOf(r)
	if d.lost.Load() {
		return broker.ErrStale
	}
	if o == broker.GiveBack {
		s.settlements.put(nil, []string{d.id})
	} else {
		s.settlements.put([]string{d.id}, nil)
	}
	return nil
}

// settleLoop tells the server, and tidies up, until the source is closed.
func (s *source) settleLoop() {
	t := &s.settlements
	defer close(t.over)
	ctx, cancel := context.WithCancel(s.link.ended)
	defer cancel()
	go func() {
		select {
		case <-t.ended:
			cancel()
		case <-ctx.Done():
		}
	}()
	ticker := time.NewTicker(tidyInterval)
	defer ticker.Stop()
	for handled, seen := false, time.Now(); ; {
		select {
		case <-t.news:
			if s.flush(ctx) == nil {
				handled = true
			}
		case <-ticker.C:
			if s.own && time.Since(seen) > s.config.inactive/4 && s.stayAlive(ctx) == nil {
				seen = time.Now()
			}
			if handled && s.tidy(ctx) == nil {
				handled = false
			}
		case <-t.ended:
			return
		}
	}
}

// flush tells the server all there is to tell. What it cannot be told now is kept.
func (s *source) flush(ctx context.Context) error {
	acked, returned := s.settlements.take()
	err := errors.Join(
		s.inBatches(acked, func(ids []string) error {
			return s.persist(ctx, func() error {
				c := s.client
				return c.Do(ctx, c.B().Xack().Key(s.stream).Group(s.group).Id(ids...).Build()).Error()
			})
		}),
		s.inBatches(returned, func(ids []string) error {
			return s.persist(ctx, func() error {
				return scriptError(s.run(ctx, releaseScript, append([]string{strconv.Itoa(releasedMs)}, ids...)...))
			})
		}))
	if err == nil || isNoGroup(err) {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, ids := range [][]string{acked, returned} {
			for _, id := range ids {
				delete(s.mine, id)
			}
		}
		return nil
	}
	s.settlements.put(acked, returned)
	return err
}

func (s *source) inBatches(ids []string, do func(ids []string) error) error {
	for len(ids) > 0 {
		n := min(len(ids), batchSize)
		if err := do(ids[:n]); err != nil {
			return err
		}
		ids = ids[n:]
	}
	return nil
}

// tidy removes what nobody needs any more.
func (s *source) tidy(ctx context.Context) error {
	if s.own {
		return scriptError(tidyScript.Exec(ctx, s.client, []string{s.stream}, []string{"", "", "0"}))
	}
	return scriptError(s.run(ctx, tidyScript, milliseconds(idleConsumer)))
}
