package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/micro-event/micro-event/runtime/broker"
)

// idHeader is what the event layer calls the id of an event.
const idHeader = "ce-id"

// publish lets callers publish until all is sent, or ctx ends.
func publish(ctx context.Context, b *broker.Engine, c *config, j *journal) {
	tickets := issue(ctx, c)
	var wg sync.WaitGroup
	for caller := range c.callers {
		wg.Go(func() {
			p := &publisher{broker: b, config: c, journal: j, caller: caller}
			for range tickets {
				p.next(ctx)
			}
		})
	}
	wg.Wait()
}

// issue returns a channel with a ticket for each message, at the rate that was
// asked for.
func issue(ctx context.Context, c *config) <-chan struct{} {
	tickets := make(chan struct{})
	go func() {
		defer close(tickets)
		begin := time.Now()
		for i := 0; c.count == 0 || i < c.count; i++ {
			if c.rate > 0 {
				due := begin.Add(time.Duration(float64(i) / c.rate * float64(time.Second)))
				select {
				case <-time.After(time.Until(due)):
				case <-ctx.Done():
					return
				}
			}
			select {
			case tickets <- struct{}{}:
			case <-ctx.Done():
				return
			}
		}
	}()
	return tickets
}

// publisher is one caller.
type publisher struct {
	broker   *broker.Engine
	config   *config
	journal  *journal
	caller   int
	sequence int
}

// next publishes one message. Once begun it is finished, also when ctx ends.
func (p *publisher) next(ctx context.Context) {
	p.sequence++
	id := fmt.Sprintf("%s-%d-%d", p.config.name, p.caller, p.sequence)
	m := &broker.Message{
		Key:    p.key(),
		Header: broker.Header{idHeader: id},
		Body:   bytes.Repeat([]byte("x"), p.config.size),
	}
	key := m.Key
	if key == "" {
		key = "-"
	}
	p.journal.write("sent", id, key)
	begin := time.Now()
	err := p.send(context.WithoutCancel(ctx), m)
	if err == nil {
		p.journal.write("ok", id, fmt.Sprint(time.Since(begin).Nanoseconds()))
		return
	}
	p.journal.write("failed", id, outcome(err), strings.ReplaceAll(err.Error(), "\n", "; "))
}

func (p *publisher) send(ctx context.Context, m *broker.Message) error {
	ctx, cancel := context.WithTimeout(ctx, p.config.timeout)
	defer cancel()
	for {
		err := p.broker.Publish(ctx, p.config.publish, m)
		if !p.config.retry || !errors.Is(err, broker.ErrUncertain) || ctx.Err() != nil {
			return err
		}
	}
}

// key returns one of the caller's own keys in turn, so that the messages of a key
// are published one after the other.
func (p *publisher) key() string {
	own := (p.config.keys + p.config.callers - 1 - p.caller) / p.config.callers
	if p.config.keys == 0 || own == 0 {
		return ""
	}
	return fmt.Sprintf("%s-k%d", p.config.name, p.caller+p.sequence%own*p.config.callers)
}

func outcome(err error) string {
	switch {
	case errors.Is(err, broker.ErrNotDelivered):
		return "not-delivered"
	case errors.Is(err, broker.ErrRejected):
		return "rejected"
	default:
		return "uncertain"
	}
}
