package inprocess

import (
	"testing"
	"time"

	"github.com/micro-event/micro-event/benchmarks/internal/measure"
)

// TestNothingIsLost runs every side shortly.
func TestNothingIsLost(t *testing.T) {
	b := &measure.Bench{Rounds: 1, Turn: time.Millisecond}
	if err := Run(t.Context(), b); err != nil {
		t.Error(err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	for _, row := range b.Results[0].Rows {
		if row.Void != "" || row.Sent == 0 {
			t.Errorf("%s: void after %d messages: %s", row.Side, row.Sent, row.Void)
		}
	}
}
