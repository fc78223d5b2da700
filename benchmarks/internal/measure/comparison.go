package measure

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Side is one of those that are compared. Exactly one of Each and All is set; both
// are called concurrently, by as many callers as the comparison has.
type Side struct {
	// Name is how tables call it. It is unique in its comparison.
	Name string
	// Note says what a reader must know to compare it; may be empty.
	Note string
	// At is where the side lies on the axis of a series, such as the number of topics; 0
	// when the comparison is none.
	At float64
	// Prepare is called before each turn with the number of its messages, and is not
	// measured. Nil: nothing to prepare.
	Prepare func(ctx context.Context, n int) error
	// Each does the work once and returns when it is done, or confirmed. How long each
	// call takes is recorded.
	Each func(ctx context.Context) error
	// All does it n times in one go.
	All func(ctx context.Context, n int) error
	// Delivered waits until want more messages were delivered since its last call, or
	// until it is certain or likely that no more come, and returns how many were. Nil:
	// nothing is delivered, only done.
	Delivered func(ctx context.Context, want int) (int, error)
	// Least and Most bound the messages of one turn: a transport that polls wants many,
	// one that cannot keep many wants few. 0 is no bound.
	Least, Most int
	// Unit is what the messages of a turn are a multiple of, for each caller; 0 is 1.
	Unit int
	// Goroutines and Heap (bytes) are what it holds; they are reported as they are.
	Goroutines, Heap float64
}

// Comparison is what its sides have in common.
type Comparison struct {
	// Group and Name say what is compared; together they are unique in a run.
	Group, Name string
	// Callers is how many call a side at the same time; default 1.
	Callers int
	// Until says that the turn of a side ends with the last delivery, not with the last
	// call.
	Until Moment
	// Children says that the work is done by processes that the sides start and wait for:
	// CPU is theirs, and allocations are not known.
	Children bool
	// Cold leaves out the warm-up: a turn is as many messages as its side has at least.
	Cold bool
	// Rounds overrides what the [Bench] says; zero does not.
	Rounds int
	// Sides are compared; the first is the floor.
	Sides []Side
}

// NameOfCallers is the name of a comparison that differs from others in its callers.
func NameOfCallers(n int) string {
	if n == 1 {
		return "1 caller"
	}
	return fmt.Sprintf("%d callers", n)
}

// Moment is when a turn ends.
type Moment int

// What ends a turn.
const (
	Returned Moment = iota // when the last call has returned
	Handled                // when the last message was delivered
)

// Bench runs comparisons and keeps their results.
type Bench struct {
	// Rounds is how many turns each side has; Turn how long one is, about.
	Rounds int
	Turn   time.Duration
	// Log is told what is done; nil is silent.
	Log func(format string, args ...any)
	// Results are those of all comparisons so far.
	Results []Result

	visits   map[string]visit
	cleanups []func() error
}

// visit is what a comparison has measured so far.
type visit struct {
	players []*player
	at      int // in Results
}

// Cleanup calls f when [Bench.Close] is called, the last one first.
func (b *Bench) Cleanup(f func() error) { b.cleanups = append(b.cleanups, f) }

// Close ends what the sides have started.
func (b *Bench) Close() error {
	var errs []error
	for _, f := range slices.Backward(b.cleanups) {
		errs = append(errs, f())
	}
	b.cleanups = nil
	return errors.Join(errs...)
}

func (b *Bench) logf(format string, args ...any) {
	if b.Log != nil {
		b.Log(format, args...)
	}
}

// Compare runs a comparison and adds its result. One that ran before, with the same
// sides, goes on: its result is that of all rounds. An error of a side makes that side
// void; an error of Compare means that there is no result.
func (b *Bench) Compare(ctx context.Context, c Comparison) error {
	if c.Callers == 0 {
		c.Callers = 1
	}
	if c.Rounds == 0 {
		c.Rounds = b.Rounds
	}
	began := time.Now()
	name := c.Group + ", " + c.Name
	first := 0 // round
	before, again := b.visits[name]
	if again {
		if len(before.players) != len(c.Sides) {
			return fmt.Errorf("measure: %s: %d sides, %d before", name, len(c.Sides), len(before.players))
		}
		first = b.Results[before.at].Rounds
	}
	players := make([]*player, len(c.Sides))
	for i := range c.Sides {
		players[i] = newPlayer(&c, &c.Sides[i], b.Turn)
		if again {
			players[i].void = before.players[i].void
		}
		if !c.Cold {
			players[i].warmUp(ctx)
		}
		if again {
			players[i].goOn(before.players[i])
		}
	}
	for round := range c.Rounds {
		for i := range players {
			at := (i + first + round) % len(players)
			players[at].turn(ctx)
		}
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("measure: %s: %w", name, err)
		}
	}
	b.note(name, &c, players)
	b.logf("%s: %.1f s", name, time.Since(began).Seconds())
	return nil
}

// note keeps what was measured, in the place of what was before.
func (b *Bench) note(name string, c *Comparison, players []*player) {
	result := Result{Group: c.Group, Name: c.Name, Callers: c.Callers, Rounds: c.Rounds, Children: c.Children}
	for _, p := range players {
		result.Rows = append(result.Rows, p.row(players[0]))
	}
	if before, again := b.visits[name]; again {
		result.Rounds += b.Results[before.at].Rounds
		b.Results[before.at] = result
		b.visits[name] = visit{players, before.at}
		return
	}
	if b.visits == nil {
		b.visits = make(map[string]visit)
	}
	b.visits[name] = visit{players, len(b.Results)}
	b.Results = append(b.Results, result)
}
