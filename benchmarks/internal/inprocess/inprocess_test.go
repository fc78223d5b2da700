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
	if err := b.Results[0].Err(); err != nil {
		t.Error(err)
	}
}
