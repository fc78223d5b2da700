package broker

import (
	"context"
	"math"
	"testing"
	"testing/synctest"
)

// TestPrefetchIsTaken counts what the engine takes while one handler hangs.
func TestPrefetchIsTaken(t *testing.T) {
	for _, tt := range []struct {
		name   string
		driver int // Info.Prefetch
		opts   []SubscribeOption
		want   int
	}{
		{"none by default", 0, nil, 1},
		{"option", 0, []SubscribeOption{Prefetch(3)}, 4},
		{"of the driver", 2, nil, 3},
		{"option beyond the driver's", 2, []SubscribeOption{Prefetch(4)}, 5},
		{"option below the driver's", 4, []SubscribeOption{Prefetch(2)}, 5},
		{"within the window", 0, []SubscribeOption{Prefetch(8), Window(3)}, 3},
		{"more than can be counted", 0, []SubscribeOption{Prefetch(math.MaxInt), Window(4)}, 4},
		{"beside several handlers", 0, []SubscribeOption{Prefetch(3), MaxInFlight(2)}, 5},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newFake(Capabilities{})
				d.info.Prefetch = tt.driver
				hang := make(chan struct{})
				d.source.feedNames(0, "a", "b", "c", "d", "e", "f", "g", "h", "i")
				waiting := len(d.source.incoming)
				sub, err := connected(t, d).Subscribe(t.Context(), "t", func(context.Context, *Delivery) error {
					<-hang
					return nil
				}, tt.opts...)
				must(t, err)
				synctest.Wait()
				if got := waiting - len(d.source.incoming); got != tt.want {
					t.Errorf("%d messages were taken, want %d", got, tt.want)
				}
				spec, o := d.opened, sub.Options()
				if spec.Prefetch != o.Prefetch || o.Prefetch < tt.driver {
					t.Errorf("the source was told %d and the user %d, the driver's own is %d", spec.Prefetch, o.Prefetch, tt.driver)
				}
				close(hang)
			})
		})
	}
}
