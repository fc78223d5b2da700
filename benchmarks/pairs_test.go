package benchmarks

import (
	"os"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"
)

// round is how many messages each side publishes in its turn.
const round = 1024

// side is one of those that are compared. Publish publishes n messages one after
// the other, or in one go, and returns when all were confirmed; it is called
// concurrently.
type side struct {
	name    string
	publish func(n int) error
}

// measure lets the sides, of which the first is the floor, take turns in an order
// that changes. It reports the median of each side's time per message, its ratio to
// the floor's in the same turn, and allocations and bytes per message.
func measure(b *testing.B, callers int, sides ...side) {
	b.Helper()
	spent := make([][]float64, len(sides))
	ratios := make([][]float64, len(sides))
	memory := make([]runtime.MemStats, len(sides))
	for i, s := range sides { // warm up
		memory[i] = turn(b, s, callers)
		memory[i].Mallocs, memory[i].TotalAlloc = 0, 0
	}
	rounds := 0
	for b.Loop() {
		took := make([]float64, len(sides))
		for i := range sides {
			at := (i + rounds) % len(sides)
			begin := time.Now()
			used := turn(b, sides[at], callers)
			took[at] = float64(time.Since(begin)) / round
			memory[at].Mallocs += used.Mallocs
			memory[at].TotalAlloc += used.TotalAlloc
		}
		for i := range sides {
			spent[i] = append(spent[i], took[i])
			ratios[i] = append(ratios[i], took[i]/took[0])
		}
		rounds++
	}
	b.ReportMetric(0, "ns/op") // of all sides together: it says nothing
	for i, s := range sides {
		n := float64(rounds * round)
		b.ReportMetric(median(spent[i]), s.name+"-ns/msg")
		b.ReportMetric(float64(memory[i].Mallocs)/n, s.name+"-allocs/msg")
		b.ReportMetric(float64(memory[i].TotalAlloc)/n, s.name+"-B/msg")
		if i > 0 {
			b.ReportMetric(median(ratios[i]), s.name+"-x")
		}
	}
}

// turn publishes a round and returns what was allocated meanwhile.
func turn(b *testing.B, s side, callers int) runtime.MemStats {
	b.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			if err := s.publish(round / callers); err != nil {
				b.Errorf("%s: %v", s.name, err)
			}
		})
	}
	all.Wait()
	runtime.ReadMemStats(&after)
	return runtime.MemStats{Mallocs: after.Mallocs - before.Mallocs, TotalAlloc: after.TotalAlloc - before.TotalAlloc}
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}

// each makes a side that publishes one message after the other.
func each(name string, publish func() error) side {
	return side{name, func(n int) error {
		for range n {
			if err := publish(); err != nil {
				return err
			}
		}
		return nil
	}}
}

// server returns the address of a server, or skips the benchmark.
func server(b *testing.B, variable string) string {
	b.Helper()
	value := os.Getenv(variable)
	if value == "" {
		b.Skipf("needs a server: set %s, as scripts/services prints it", variable)
	}
	return value
}

func must(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}
