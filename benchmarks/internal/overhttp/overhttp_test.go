package overhttp

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/micro-event/micro-event/benchmarks/internal/measure"
)

func TestMain(m *testing.M) {
	if served, err := ServeSubscriber(context.Background(), os.Stdin, os.Stdout); served {
		if err != nil {
			panic(err)
		}
		return
	}
	os.Exit(m.Run())
}

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
		if err := r.Err("go-micro HTTP"); err != nil {
			t.Error(err)
		}
	}
}
