package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/micro-event/micro-event/runtime/broker"
)

var errAsked = errors.New("failed, as -fail-every asks")

// subscribe subscribes to the topic once for each queue.
func subscribe(ctx context.Context, b *broker.Engine, c *config, j *journal) error {
	if c.subscribe == "" {
		return nil
	}
	for i, name := range queues(c) {
		s := &subscriber{config: c, journal: j, queue: name}
		options := []broker.SubscribeOption{broker.MaxInFlight(c.inFlight)}
		if name == "" {
			s.queue = fmt.Sprintf("%s/%d", c.name, i) // tells the subscriptions without a queue apart
		} else {
			options = append(options, broker.Queue(name))
		}
		if _, err := b.Subscribe(ctx, c.subscribe, s.handle, options...); err != nil {
			return err
		}
	}
	return nil
}

// subscriber handles the messages of one subscription.
type subscriber struct {
	config  *config
	journal *journal
	queue   string
	handled atomic.Int64
}

func (s *subscriber) handle(ctx context.Context, d *broker.Delivery) error {
	id, key := d.Message.Header[idHeader], d.Message.Key
	if key == "" {
		key = "-"
	}
	s.journal.write("begin", s.queue, id, key, fmt.Sprint(d.Attempt))
	n := int(s.handled.Add(1))
	if s.config.stallAfter > 0 && n > s.config.stallAfter {
		<-ctx.Done()
	}
	if s.config.work > 0 {
		select {
		case <-time.After(s.config.work):
		case <-ctx.Done():
		}
	}
	if err := context.Cause(ctx); err != nil {
		s.journal.write("error", s.queue, id)
		return err
	}
	if every := s.config.failEvery; every > 0 && n%every == 0 && d.Attempt == 1 {
		s.journal.write("error", s.queue, id)
		return errAsked
	}
	s.journal.write("done", s.queue, id)
	return nil
}
