package generator

import (
	"testing"
	"time"

	"github.com/micro-event/micro-event/benchmarks/internal/measure"
)

// TestPlugins: every plugin takes the requests and makes what it should.
func TestPlugins(t *testing.T) {
	b := &measure.Bench{Turn: time.Millisecond}
	if err := run(t.Context(), b, []size{{1, 1, true}, {150, 1, true}}); err != nil {
		t.Error(err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	if len(b.Results) != 2 {
		t.Errorf("%d comparisons, want 2", len(b.Results))
	}
	for _, r := range b.Results {
		for _, row := range r.Rows {
			if row.Void != "" || row.CPU == 0 {
				t.Errorf("%s: %s: %v ns of CPU, void: %q", r.Name, row.Side, row.CPU, row.Void)
			}
		}
	}
}
