// Package growth measures how the cost of a message grows with what there is: topics,
// subscribers, keys, and bytes of the message. The points of a series take turns; the
// smallest is the floor of the others.
package growth

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"

	"github.com/micro-event/micro-event/runtime/broker"
	memorybroker "github.com/micro-event/micro-event/runtime/broker/memory"

	"github.com/micro-event/micro-event/benchmarks/internal/measure"
	"github.com/micro-event/micro-event/benchmarks/internal/overhttp"
)

// What the results are filed under: what is counted, and what is weighed.
const (
	Counts = "growth"
	Sizes  = "size of the body"
)

// series is one line of a plot.
type series struct {
	group, name string
	points      []int
	callers     int
	open        func(ctx context.Context, b *measure.Bench, at int) (measure.Side, error)
}

// all of them; those over HTTP have fewer points, for each takes longer.
var all = []series{
	{Counts, "topics, memory", []int{1, 10, 100, 1000, 10_000}, 1, topics(inProcess)},
	{Counts, "topics, HTTP, 16 callers", []int{1, 10, 100, 1000}, 16, topics(overhttp.Pair)},
	{Counts, "subscribers of a topic, memory (per delivery)", []int{1, 10, 100, 1000}, 1, subscribers(inProcess)},
	{Counts, "subscribers of a topic, HTTP (per delivery)", []int{1, 10, 100}, 1, subscribers(overhttp.Pair)},
	{Counts, "keys in flight, memory", []int{1, 10, 100, 1000}, 1, keys(inProcess)},
	{Counts, "keys in flight, HTTP, 64 callers", []int{1, 10, 100, 1000}, 64, keys(overhttp.Pair)},
	{Sizes, "memory", weights, 1, body(inProcess)},
	{Sizes, "HTTP", weights, 1, body(overhttp.Pair)},
	{Sizes, "net/http, one POST each", weights, 1, bare},
}

var weights = []int{100, 1 << 10, 10 << 10, 100 << 10, 1 << 20} // bytes

// Run measures all series.
func Run(ctx context.Context, b *measure.Bench) error {
	for _, s := range all {
		if err := s.run(ctx, b, s.points); err != nil {
			return fmt.Errorf("growth: %s: %w", s.name, err)
		}
	}
	return nil
}

// run compares the points of a series and closes them.
func (s *series) run(ctx context.Context, b *measure.Bench, points []int) error {
	c := measure.Comparison{Group: s.group, Name: s.name, Callers: s.callers, Until: measure.Handled}
	for _, at := range points {
		before := held()
		side, err := s.open(ctx, b, at)
		if err != nil {
			return fmt.Errorf("%d: %w", at, err)
		}
		after := held()
		side.Name, side.At = fmt.Sprint(at), float64(at)
		side.Goroutines, side.Heap = after.goroutines-before.goroutines, max(0, after.heap-before.heap)
		c.Sides = append(c.Sides, side)
	}
	if err := b.Compare(ctx, c); err != nil {
		return err
	}
	return b.Close()
}

// holding is what this process holds.
type holding struct{ goroutines, heap float64 }

func held() holding {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return holding{float64(runtime.NumGoroutine()), float64(m.HeapAlloc)}
}

// transport returns a publisher and a subscriber, which may be the same.
type transport func(ctx context.Context, b *measure.Bench) (publisher, subscriber *broker.Engine, err error)

func inProcess(ctx context.Context, b *measure.Bench) (publisher, subscriber *broker.Engine, err error) {
	e := memorybroker.New(broker.WithLogger(slog.New(slog.DiscardHandler)))
	b.Cleanup(func() error { return e.Disconnect(context.Background()) })
	err = e.Connect(ctx)
	return e, e, err
}
