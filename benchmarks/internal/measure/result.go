package measure

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
)

// Result is what a comparison has measured.
type Result struct {
	Group    string `json:"group"`
	Name     string `json:"name"`
	Callers  int    `json:"callers"`
	Rounds   int    `json:"rounds"`
	Children bool   `json:"children,omitempty"` // CPU is theirs
	Rows     []Row  `json:"rows"`               // the first is the floor
}

// Err is an error for each row that is void or has sent nothing, but those of the sides
// that may lose messages.
func (r *Result) Err(mayLose ...string) error {
	var errs []error
	for _, row := range r.Rows {
		if (row.Void != "" || row.Sent == 0) && !slices.Contains(mayLose, row.Side) {
			errs = append(errs, fmt.Errorf("%s, %s: %s: void after %d messages: %s", r.Group, r.Name, row.Side, row.Sent, row.Void))
		}
	}
	return errors.Join(errs...)
}

// Row is what a side cost, per message.
type Row struct {
	Side string  `json:"side"`
	Note string  `json:"note,omitempty"`
	At   float64 `json:"at,omitempty"`
	// Void says why the figures mean nothing; empty when they do.
	Void string `json:"void,omitempty"`

	Time     Quartiles `json:"time_ns"`   // nanoseconds
	Ratio    Quartiles `json:"ratio"`     // to the floor's in the same round
	CPU      float64   `json:"cpu_ns"`    // median, nanoseconds of this process, or of its children
	CPURatio Quartiles `json:"cpu_ratio"` // to the floor's in the same round
	Allocs   float64   `json:"allocs"`    // median
	Bytes    float64   `json:"bytes"`     // median
	P50      float64   `json:"p50_ns"`    // of single calls; 0 when they were not timed
	P99      float64   `json:"p99_ns"`    // of single calls
	Sent     int       `json:"messages"`  // in all rounds

	// Goroutines and Heap (bytes) are what the side holds, where that was measured.
	Goroutines float64 `json:"goroutines,omitempty"`
	Heap       float64 `json:"heap,omitempty"`
}

// Quartiles are three of them.
type Quartiles struct {
	Low    float64 `json:"q1"`
	Median float64 `json:"median"`
	High   float64 `json:"q3"`
}

// QuartilesOf returns those of values, which it sorts. Between two values it
// interpolates; of none it returns zeros.
func QuartilesOf(values []float64) Quartiles {
	slices.Sort(values)
	return Quartiles{quantile(values, 0.25), quantile(values, 0.5), quantile(values, 0.75)}
}

// quantile returns the value below which a share q of the sorted values lies.
func quantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	low, part := math.Modf(q * float64(len(sorted)-1))
	i := int(low)
	if part == 0 {
		return sorted[i]
	}
	return sorted[i] + part*(sorted[i+1]-sorted[i])
}

// row sums the turns up.
func (p *player) row(floor *player) Row {
	r := Row{Side: p.side.Name, Note: p.side.Note, At: p.side.At, Void: p.void, Sent: p.sent, Goroutines: p.side.Goroutines, Heap: p.side.Heap}
	if p.void != "" {
		return r
	}
	column := func(of func(sample) float64) Quartiles {
		values := make([]float64, len(p.turns))
		for i, t := range p.turns {
			values[i] = of(t)
		}
		return QuartilesOf(values)
	}
	r.Time = column(func(s sample) float64 { return s.time })
	r.CPU = column(func(s sample) float64 { return s.cpu }).Median
	r.Allocs = column(func(s sample) float64 { return s.allocs }).Median
	r.Bytes = column(func(s sample) float64 { return s.bytes }).Median
	if floor.void == "" {
		times, cpus := make([]float64, len(p.turns)), make([]float64, len(p.turns))
		for i, t := range p.turns {
			times[i], cpus[i] = t.time/floor.turns[i].time, t.cpu/floor.turns[i].cpu
		}
		r.Ratio, r.CPURatio = QuartilesOf(times), QuartilesOf(cpus)
	}
	slices.Sort(p.latencies)
	r.P50, r.P99 = float64(percentile(p.latencies, 50)), float64(percentile(p.latencies, 99))
	return r
}

// percentile returns the value that share percent of the sorted ones do not exceed.
func percentile(sorted []time.Duration, share int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, len(sorted)*share/100)]
}
