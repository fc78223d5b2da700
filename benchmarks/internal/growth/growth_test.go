package growth

import (
	"testing"
	"time"

	"github.com/micro-event/micro-event/benchmarks/internal/measure"
)

// TestSeries runs the two smallest points of each: nothing is lost.
func TestSeries(t *testing.T) {
	for _, s := range all {
		t.Run(s.name, func(t *testing.T) {
			b := &measure.Bench{Rounds: 1, Turn: 2 * time.Millisecond}
			if err := s.run(t.Context(), b, s.points[:2]); err != nil {
				t.Fatal(err)
			}
			if err := b.Results[0].Err(); err != nil {
				t.Error(err)
			}
		})
	}
}
