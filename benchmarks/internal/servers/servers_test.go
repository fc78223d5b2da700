package servers

import (
	"os"
	"testing"
	"time"

	"github.com/micro-event/micro-event/benchmarks/internal/measure"
)

// TestRealServers runs every comparison of the servers that there are, shortly: nothing
// is lost, and no side fails.
func TestRealServers(t *testing.T) {
	ran := false
	for _, s := range servers {
		address := os.Getenv(s.variable)
		if address == "" {
			continue
		}
		ran = true
		t.Run(s.group, func(t *testing.T) {
			b := &measure.Bench{Rounds: 2, Turn: 20 * time.Millisecond}
			if err := compare(t.Context(), b, s.group, s.at(address)); err != nil {
				t.Error(err)
			}
			if err := b.Close(); err != nil {
				t.Error(err)
			}
			for _, r := range b.Results {
				if err := r.Err(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	if !ran {
		t.Skip("needs a server: see scripts/services")
	}
}
