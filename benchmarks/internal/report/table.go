package report

import (
	"fmt"
	"strings"
	"time"

	"github.com/micro-event/micro-event/benchmarks/internal/measure"
)

// writeTable writes a comparison. Columns that no row fills are left out.
func writeTable(w *strings.Builder, r measure.Result) {
	var has columns
	has.processes = r.Children
	for _, row := range r.Rows {
		has.memory = has.memory || row.Bytes > 0
		has.calls = has.calls || row.P50 > 0
		has.held = has.held || row.Heap > 0 || row.Goroutines > 0
	}
	heads := has.heads()
	fmt.Fprintf(w, "| %s |\n|---%s|\n", strings.Join(heads, " | "), strings.Repeat("|--:", len(heads)-1))
	var notes []string
	for _, row := range r.Rows {
		name := row.Side
		if row.Note != "" {
			notes = append(notes, row.Note)
			name += fmt.Sprintf(" (%d)", len(notes))
		}
		if row.Void != "" {
			fmt.Fprintf(w, "| %s | void: %s%s |\n", name, cell(row.Void), strings.Repeat(" |", len(heads)-2))
			continue
		}
		fmt.Fprintf(w, "| %s | %s |\n", name, strings.Join(has.cells(row), " | "))
	}
	for i, note := range notes {
		fmt.Fprintf(w, "\n(%d) %s.\n", i+1, note)
	}
	w.WriteString("\n")
}

// columns says which of a table's columns there are, beside those that all have.
type columns struct{ processes, memory, calls, held bool }

func (c columns) heads() []string {
	heads := []string{"", "time", "x floor (quartiles)", "CPU"}
	if c.processes {
		heads = append(heads, "x floor (quartiles)")
	}
	if c.memory {
		heads = append(heads, "allocs", "B")
	}
	if c.calls {
		heads = append(heads, "p50", "p99")
	}
	if c.held {
		heads = append(heads, "goroutines", "heap")
	}
	return heads
}

func (c columns) cells(row measure.Row) []string {
	cells := []string{duration(row.Time.Median), ratio(row.Ratio), duration(row.CPU)}
	if c.processes {
		cells = append(cells, ratio(row.CPURatio))
	}
	if c.memory {
		cells = append(cells, fmt.Sprintf("%.1f", row.Allocs), fmt.Sprintf("%.0f", row.Bytes))
	}
	if c.calls {
		cells = append(cells, duration(row.P50), duration(row.P99))
	}
	if c.held {
		cells = append(cells, fmt.Sprintf("%.0f", row.Goroutines), size(row.Heap))
	}
	return cells
}

// cell is text that does not end its cell.
func cell(text string) string {
	return strings.NewReplacer("|", "/", "\n", " ").Replace(text)
}

// duration is nanoseconds with three digits.
func duration(ns float64) string {
	switch {
	case ns == 0:
		return ""
	case ns < 999.5:
		return fmt.Sprintf("%.0f ns", ns)
	case ns < 999.5e3:
		return fmt.Sprintf("%.3g µs", ns/1e3)
	case ns < 999.5e6:
		return fmt.Sprintf("%.3g ms", ns/1e6)
	}
	return fmt.Sprintf("%.3g s", ns/float64(time.Second))
}

// ratio is a median and its quartiles.
func ratio(q measure.Quartiles) string {
	if q.Median == 0 {
		return ""
	}
	return fmt.Sprintf("%s (%s–%s)", digits(q.Median), digits(q.Low), digits(q.High))
}

// digits are two behind the point, or three in all.
func digits(x float64) string {
	if x < 10 {
		return fmt.Sprintf("%.2f", x)
	}
	if x < 999.5 {
		return fmt.Sprintf("%.3g", x)
	}
	return fmt.Sprintf("%.0f", x)
}

// size is a number of bytes.
func size(bytes float64) string {
	switch {
	case bytes <= 0:
		return ""
	case bytes < 1<<10:
		return fmt.Sprintf("%.0f B", bytes)
	case bytes < 1<<20:
		return fmt.Sprintf("%.3g KiB", bytes/(1<<10))
	}
	if bytes < 1<<30 {
		return fmt.Sprintf("%.3g MiB", bytes/(1<<20))
	}
	return fmt.Sprintf("%.3g GiB", bytes/(1<<30))
}
