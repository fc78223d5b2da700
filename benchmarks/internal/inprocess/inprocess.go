// Package inprocess compares ways to get an event from a publisher to a handler in the
// same process. Every side encodes the event and decodes it again, as services do that
// will talk to other processes one day.
package inprocess

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/proto"

	ordersv1 "github.com/micro-event/micro-event/examples/gen/shop/orders/v1"

	"github.com/micro-event/micro-event/benchmarks/internal/measure"
	"github.com/micro-event/micro-event/benchmarks/internal/sample"
)

// Group is what the results are filed under.
const Group = "in process"

// Run compares them.
func Run(ctx context.Context, b *measure.Bench) error {
	sides := []measure.Side{floor(), channel(b)}
	for _, open := range []func(context.Context, *measure.Bench) (measure.Side, error){
		typed, raw, watermillChannel, watermillCQRS, gomicroBroker, gomicroEvent, cloudEvents, goCloud,
	} {
		side, err := open(ctx, b)
		if err != nil {
			return fmt.Errorf("inprocess: %w", err)
		}
		sides = append(sides, side)
	}
	return b.Compare(ctx, measure.Comparison{Group: Group, Name: "publish to handler", Until: measure.Handled, Sides: sides})
}

// floor encodes and decodes, in one goroutine.
func floor() measure.Side {
	e := sample.Order()
	return measure.Side{Name: "Marshal + Unmarshal", All: func(_ context.Context, n int) error {
		for range n {
			body, err := proto.Marshal(e)
			if err != nil {
				return err
			}
			if err := proto.Unmarshal(body, new(ordersv1.OrderCreated)); err != nil {
				return err
			}
		}
		return nil
	}}
}

// channel is the least that goes to another goroutine.
func channel(b *measure.Bench) measure.Side {
	const depth = 1024
	bodies, counter := make(chan []byte, depth), measure.NewCounter()
	done := make(chan error, 1)
	go func() {
		for body := range bodies {
			if err := handle(counter, body); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	b.Cleanup(func() error {
		close(bodies)
		return <-done
	})
	side := each("channel of bytes", counter, func(_ context.Context, body []byte) error {
		bodies <- body
		return nil
	})
	side.Note = "no headers, one handler, nothing is acknowledged"
	return side
}

// each makes a side that encodes the event for each message.
func each(name string, counter *measure.Counter, publish func(ctx context.Context, body []byte) error) measure.Side {
	e := sample.Order()
	return measure.Side{Name: name, Delivered: counter.Wait, All: func(ctx context.Context, n int) error {
		for range n {
			body, err := proto.Marshal(e)
			if err != nil {
				return err
			}
			if err := publish(ctx, body); err != nil {
				return err
			}
		}
		return nil
	}}
}

// handle decodes a body, as each handler does.
func handle(counter *measure.Counter, body []byte) error {
	if err := proto.Unmarshal(body, new(ordersv1.OrderCreated)); err != nil {
		return err
	}
	counter.Add()
	return nil
}
