package measure

import (
	"context"
	"fmt"
	"runtime"
	"time"
)

// player is a side in its turns.
type player struct {
	c     *Comparison
	side  *Side
	long  time.Duration // a turn is about so long
	batch int           // messages of a turn

	turns     []sample
	latencies []time.Duration // of all turns
	sent      int
	void      string
}

// sample is what one turn cost, per message.
type sample struct{ time, cpu, allocs, bytes float64 }

func newPlayer(c *Comparison, s *Side, long time.Duration) *player {
	p := &player{c: c, side: s, long: long}
	p.grow(1)
	return p
}

// warmUp runs a side until a turn takes as long as it should, so that connections are
// there and what is learned on the way is learned.
func (p *player) warmUp(ctx context.Context) {
	const tries = 20
	for range tries {
		p.turn(ctx)
		if p.void != "" {
			return
		}
		took := time.Duration(p.turns[len(p.turns)-1].time * float64(p.batch))
		p.grow(min(10, float64(p.long)/float64(max(took, 1))))
		if took >= p.long/2 {
			break
		}
	}
	p.turns, p.latencies, p.sent = nil, nil, 0
}

// goOn adds the turns to those of the same side before.
func (p *player) goOn(before *player) {
	p.turns, p.latencies, p.sent = before.turns, before.latencies, before.sent
	if before.void != "" {
		p.void = before.void
	}
}

// grow multiplies the messages of a turn, a multiple of the callers.
func (p *player) grow(by float64) {
	n := max(p.side.Least, int(float64(p.batch)*by))
	if p.side.Most > 0 {
		n = min(n, p.side.Most)
	}
	unit := p.c.Callers * max(1, p.side.Unit)
	p.batch = max(1, n/unit) * unit
}

// turn lets the side work once. A side that is void has no more turns.
func (p *player) turn(ctx context.Context) {
	if p.void != "" {
		return
	}
	latencies := make([][]time.Duration, p.c.Callers)
	for i := range latencies {
		latencies[i] = make([]time.Duration, 0, p.batch/p.c.Callers)
	}
	if p.side.Prepare != nil {
		if err := p.side.Prepare(ctx, p.batch); err != nil {
			p.void = err.Error()
			return
		}
	}
	runtime.GC() // the garbage of the side before is not this one's
	meter := start(p.c.Children)
	err := p.send(ctx, latencies)
	delivered := p.batch
	if p.c.Until == Returned {
		p.turns = append(p.turns, meter.stop(p.batch))
	}
	if err == nil && p.side.Delivered != nil {
		delivered, err = p.side.Delivered(ctx, p.batch)
	}
	if p.c.Until == Handled {
		p.turns = append(p.turns, meter.stop(p.batch))
	}
	p.sent += p.batch
	switch {
	case err != nil:
		p.void = err.Error()
		return // callers that hang may still write latencies
	case delivered != p.batch:
		p.void = fmt.Sprintf("delivered %d of %d", delivered, p.batch)
	}
	for _, l := range latencies {
		p.latencies = append(p.latencies, l...)
	}
}

// patience is how long a turn may take. It ends the context of the calls; those that
// do not return in as much time again are left behind.
const patience = 20 * time.Second

// patient is the same for processes.
const patient = 5 * time.Minute

// send does the work of a turn and returns the first error.
func (p *player) send(ctx context.Context, latencies [][]time.Duration) error {
	limit := patience
	if p.c.Children {
		limit = patient
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	share := p.batch / p.c.Callers
	errs := make(chan error, p.c.Callers)
	for i := range p.c.Callers {
		go func() { errs <- p.call(ctx, share, &latencies[i]) }()
	}
	late := time.NewTimer(2 * limit)
	defer late.Stop()
	var first error
	for returned := range p.c.Callers {
		select {
		case err := <-errs:
			if first == nil {
				first = err
			}
		case <-late.C:
			return fmt.Errorf("%d of %d callers hang", p.c.Callers-returned, p.c.Callers)
		}
	}
	return first
}

// call is what one caller does.
func (p *player) call(ctx context.Context, n int, latencies *[]time.Duration) error {
	if p.side.All != nil {
		return p.side.All(ctx, n)
	}
	last := time.Now()
	for range n {
		if err := p.side.Each(ctx); err != nil {
			return err
		}
		now := time.Now()
		*latencies = append(*latencies, now.Sub(last))
		last = now
	}
	return nil
}
