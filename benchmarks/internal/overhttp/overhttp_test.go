package overhttp

import (
	"testing"
	"time"

	"github.com/micro-event/micro-event/benchmarks/internal/measure"
)

// TestNothingIsLost runs every side shortly. Only go-micro's may lose messages.
func TestNothingIsLost(t *testing.T) {
	b := &measure.Bench{Rounds: 1, Turn: time.Millisecond}
	if err := Run(t.Context(), b); err != nil {
		t.Error(err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	for _, r := range b.Results {
		for _, row := range r.Rows {
			if row.Side != "go-micro HTTP" && (row.Void != "" || row.Sent == 0) {
				t.Errorf("%s: %s: void after %d messages: %s", r.Name, row.Side, row.Sent, row.Void)
			}
		}
	}
}
