package measure_test

import (
	"context"
	"errors"
	"math"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/micro-event/micro-event/benchmarks/internal/measure"
)

// compare runs one comparison of sides and returns its rows.
func compare(t *testing.T, c measure.Comparison) []measure.Row {
	t.Helper()
	b := &measure.Bench{Rounds: 5, Turn: 10 * time.Millisecond}
	if err := b.Compare(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	return b.Results[0].Rows
}

// sleeper takes d for each message.
func sleeper(name string, d time.Duration) measure.Side {
	return measure.Side{Name: name, Each: func(context.Context) error {
		time.Sleep(d)
		return nil
	}}
}

func TestTimesAndRatios(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rows := compare(t, measure.Comparison{Sides: []measure.Side{sleeper("floor", time.Millisecond), sleeper("slow", 3*time.Millisecond)}})
		floor, slow := rows[0], rows[1]
		if floor.Time.Median != 1e6 || slow.Time.Median != 3e6 || slow.P50 != 3e6 || slow.P99 != 3e6 {
			t.Errorf("got %+v and %+v, want 1 and 3 ms a message", floor, slow)
		}
		if want := (measure.Quartiles{Low: 3, Median: 3, High: 3}); slow.Ratio != want || floor.Ratio.Median != 1 {
			t.Errorf("ratios: got %v and %v, want 1 and %v", floor.Ratio, slow.Ratio, want)
		}
		if floor.Sent != 5*10 {
			t.Errorf("the floor sent %d messages, want 5 turns of 10", floor.Sent)
		}
	})
}

// TestTurnsAlternate: each round begins with another side.
func TestTurnsAlternate(t *testing.T) {
	var order strings.Builder
	note := func(name string) measure.Side {
		return measure.Side{Name: name, All: func(context.Context, int) error {
			order.WriteString(name)
			return nil
		}}
	}
	compare(t, measure.Comparison{Cold: true, Rounds: 3, Sides: []measure.Side{note("a"), note("b"), note("c")}})
	if got, want := order.String(), "abc"+"bca"+"cab"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestComparisonsGoOn: the second run adds its turns to the first, and what was void
// stays so.
func TestComparisonsGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &measure.Bench{Rounds: 3, Turn: 10 * time.Millisecond}
		calls := 0
		run := func(name string, slow time.Duration, fails error) {
			t.Helper()
			broken := measure.Side{Name: "broken", Each: func(context.Context) error {
				calls++
				time.Sleep(time.Millisecond)
				return fails
			}}
			c := measure.Comparison{Name: name, Sides: []measure.Side{sleeper("floor", time.Millisecond), sleeper("other", slow), broken}}
			if err := b.Compare(t.Context(), c); err != nil {
				t.Fatal(err)
			}
		}
		run("a", 2*time.Millisecond, errors.New("away"))
		run("b", time.Millisecond, nil)
		calls = 0
		run("a", 4*time.Millisecond, nil)
		if len(b.Results) != 2 || b.Results[0].Name != "a" || b.Results[0].Rounds != 6 {
			t.Fatalf("results: got %+v, want two, the first of six rounds", b.Results)
		}
		rows := b.Results[0].Rows
		if want := (measure.Quartiles{Low: 2, Median: 3, High: 4}); rows[1].Ratio != want || rows[0].Sent != 6*10 {
			t.Errorf("got %v, the floor sent %d messages; want %v and six turns of 10", rows[1].Ratio, rows[0].Sent, want)
		}
		if calls != 0 || rows[2].Void != "away" {
			t.Errorf("what was void: %d more calls, void %q, want none and the reason", calls, rows[2].Void)
		}
		c := measure.Comparison{Name: "a", Sides: []measure.Side{sleeper("floor", time.Millisecond)}}
		if err := b.Compare(t.Context(), c); err == nil || !strings.Contains(err.Error(), "a: 1 sides, 3 before") {
			t.Errorf("with other sides: got %v, want an error", err)
		}
	})
}

// TestCallersShareATurn: as many run at the same time, and a unit is not split.
func TestCallersShareATurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		running, most := 0, 0
		side := measure.Side{Unit: 7, Least: 100, Each: func(context.Context) error {
			mu.Lock()
			running++
			most = max(most, running)
			mu.Unlock()
			time.Sleep(time.Millisecond)
			mu.Lock()
			running--
			mu.Unlock()
			return nil
		}}
		row := compare(t, measure.Comparison{Callers: 4, Rounds: 1, Cold: true, Sides: []measure.Side{side}})[0]
		if most != 4 || row.Sent != 84 {
			t.Errorf("%d callers at the same time and %d messages, want 4 and 84", most, row.Sent)
		}
	})
}

func TestVoid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fine := sleeper("floor", time.Millisecond)
		for name, side := range map[string]measure.Side{
			"broken":               {All: func(context.Context, int) error { return errors.New("broken") }},
			"not prepared":         {Prepare: func(context.Context, int) error { return errors.New("not prepared") }},
			"delivered 9 of 10":    {Least: 10, All: nothing, Delivered: func(_ context.Context, want int) (int, error) { return want - 1, nil }},
			"delivered 11 of 10":   {Least: 10, All: nothing, Delivered: func(_ context.Context, want int) (int, error) { return want + 1, nil }},
			"deadline exceeded":    {All: func(ctx context.Context, _ int) error { <-ctx.Done(); return ctx.Err() }},
			"1 of 1 callers hang":  {All: func(context.Context, int) error { time.Sleep(time.Hour); return nil }},
			"the server is silent": {All: nothing, Delivered: func(context.Context, int) (int, error) { return 0, errors.New("the server is silent") }},
		} {
			rows := compare(t, measure.Comparison{Sides: []measure.Side{fine, side}})
			if !strings.Contains(rows[1].Void, name) || rows[1].Time.Median != 0 {
				t.Errorf("got %+v, want it void: %s", rows[1], name)
			}
			if err := (&measure.Result{Rows: rows}).Err(); err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("%s: the error of the result is %v", name, err)
			}
			if err := (&measure.Result{Rows: rows}).Err(side.Name); err != nil {
				t.Errorf("%s: got %v of a side that may lose messages", name, err)
			}
			if rows[0].Void != "" || rows[0].Time.Median == 0 {
				t.Errorf("%s: the floor: %+v, want its figures", name, rows[0])
			}
		}
		time.Sleep(2 * time.Hour) // the one that hangs
	})
}

func nothing(context.Context, int) error { return nil }

// TestVoidFloor: without a floor there are times, and no ratios.
func TestVoidFloor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := measure.Side{Name: "floor", All: func(context.Context, int) error { return errors.New("broken") }}
		row := compare(t, measure.Comparison{Sides: []measure.Side{broken, sleeper("side", time.Millisecond)}})[1]
		if row.Time.Median != 1e6 || row.Ratio.Median != 0 {
			t.Errorf("got %+v, want a time and no ratio", row)
		}
	})
}

func TestAllocations(t *testing.T) {
	var kept []byte
	side := measure.Side{Least: 1000, All: func(_ context.Context, n int) error {
		for range n {
			kept = make([]byte, 4096)
		}
		return nil
	}}
	row := compare(t, measure.Comparison{Cold: true, Sides: []measure.Side{side}})[0]
	if math.Round(row.Allocs) != 1 || row.Bytes < 4096 || row.Bytes > 4400 || len(kept) != 4096 {
		t.Errorf("got %v allocations and %v bytes, want 1 and about 4096", row.Allocs, row.Bytes)
	}
}

func TestQuartiles(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   measure.Quartiles
	}{
		{nil, measure.Quartiles{}},
		{[]float64{7}, measure.Quartiles{Low: 7, Median: 7, High: 7}},
		{[]float64{4, 1, 3, 2, 5}, measure.Quartiles{Low: 2, Median: 3, High: 4}},
		{[]float64{1, 2}, measure.Quartiles{Low: 1.25, Median: 1.5, High: 1.75}},
	} {
		if got := measure.QuartilesOf(c.values); got != c.want {
			t.Errorf("%v: got %v, want %v", c.values, got, c.want)
		}
	}
}

func TestCounter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := measure.NewCounter()
		go func() {
			for range 5 {
				time.Sleep(time.Second)
				c.Add()
			}
		}()
		if n, err := c.Wait(t.Context(), 2); n != 2 || err != nil {
			t.Errorf("got %d, %v, want 2", n, err)
		}
		if n, err := c.Wait(t.Context(), 9); n != 3 || err != nil {
			t.Errorf("got %d, %v, want the 3 that came", n, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := c.Wait(ctx, 1); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want that the context has ended", err)
		}
	})
}
