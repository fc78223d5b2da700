package httpbroker

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// maxBatchMessages and maxBatchBytes bound one request. A message that is
	// larger travels alone.
	maxBatchMessages = 256
	maxBatchBytes    = 1 << 20

	// maxAhead bounds the requests whose messages are not all admitted. Beside the
	// first one, another leaves for each crowd that waits, so that the member has work
	// while answers travel.
	maxAhead = 3
	crowd    = 16

	// maxFlights bounds the requests to one member whose messages are not all
	// answered. Beyond them messages wait here.
	maxFlights = 128
)

// endpoint sends messages to one member. While the messages of a request are
// neither answered nor admitted, further ones wait, and then leave together: one
// request per message when there are few, one for many when there are many, and
// never a delay to wait for company.
type endpoint struct {
	publisher *publisher
	entry     Entry
	head      []byte      // of the frames
	upgrades  atomic.Bool // the member offers to change connections to its frames
	health    health
	turns     turns // of a single subscription; a queue has its own

	mu      sync.Mutex
	waiting []*call
	ahead   int       // requests whose messages are not all admitted
	aloft   []*flight // requests that are not over
	sweeper *time.Timer
	swept   bool    // the sweeper runs
	last    int     // messages of the last request
	idle    []*conn // the last used last
	retired bool
}

// call is a message on its way to an endpoint. The mutex of the endpoint guards
// what changes.
type call struct {
	message  *outgoing
	verdict  chan verdict // has room for one
	deadline time.Time
	flight   *flight // nil while it waits, and when it is settled
	index    int     // in the flight
	admitted bool    // the member has it
}

// calls keeps those that have had their verdict.
var calls = sync.Pool{New: func() any { return &call{verdict: make(chan verdict, 1)} }}

func newEndpoint(p *publisher, e Entry) *endpoint {
	head := frame{topic: e.Topic, queue: e.Queue, instance: e.Instance, level: p.level}
	ep := &endpoint{publisher: p, entry: e, head: appendFrameHead(nil, &head)}
	ep.sweeper = time.AfterFunc(sweepInterval, ep.sweep)
	ep.sweeper.Stop()
	return ep
}

// deliver sends a message and waits for its verdict, until deadline at most. A
// message that was not admitted when admitBy fires is given up; nil means never.
func (ep *endpoint) deliver(ctx context.Context, m *outgoing, deadline time.Time, admitBy <-chan time.Time) verdict {
	c := calls.Get().(*call) //nolint:forcetypeassert // it holds nothing else
	c.message, c.deadline = m, deadline
	ep.mu.Lock()
	ep.waiting = append(ep.waiting, c)
	if ep.ahead == 0 && ep.last > 1 { // others are about to come: those of the last request have just been answered
		ep.ahead++
		ep.mu.Unlock()
		runtime.Gosched()
		ep.mu.Lock()
		ep.ahead--
	}
	f := ep.depart()
	ep.startSweeper()
	alone := f != nil && len(f.calls) == 1 && f.calls[0] == c
	ep.mu.Unlock()
	switch {
	case f == nil:
	case alone && admitBy == nil:
		f.fly(ctx, deadline) // nobody else's: it may end with ctx, and needs no goroutine
		return c.take(<-c.verdict)
	default:
		go f.flyAlone() //nolint:contextcheck // it carries messages of several callers and ends with the last
	}
	if admitBy != nil {
		return ep.awaitAdmission(ctx, c, admitBy)
	}
	return ep.await(ctx, c)
}

// await waits for a verdict. The sweeper watches the deadline, and when the
// publisher ends so do all requests.
func (ep *endpoint) await(ctx context.Context, c *call) verdict {
	select {
	case v := <-c.verdict:
		return c.take(v)
	case <-ctx.Done():
		return ep.abandon(c, context.Cause(ctx))
	}
}

// awaitAdmission is await for a message that must be admitted in time.
func (ep *endpoint) awaitAdmission(ctx context.Context, c *call, admitBy <-chan time.Time) verdict {
	select {
	case v := <-c.verdict:
		return c.take(v)
	case <-ctx.Done():
		return ep.abandon(c, context.Cause(ctx))
	case <-admitBy:
		if !ep.isAdmitted(c) {
			return ep.abandon(c, errSilent)
		}
		return ep.await(ctx, c)
	}
}

// take ends a call that has its verdict, and that nobody else knows any more.
func (c *call) take(v verdict) verdict {
	*c = call{verdict: c.verdict}
	calls.Put(c)
	return v
}

func (ep *endpoint) isAdmitted(c *call) bool {
	ep.mu.Lock()
	defer ep.mu.Unlock()
	return c.admitted
}

// abandon gives a call up, unless its verdict came at the same moment.
func (ep *endpoint) abandon(c *call, cause error) verdict {
	ep.mu.Lock()
	defer ep.mu.Unlock()
	if c.flight != nil {
		c.flight.leave(c)
		return c.take(verdict{cut, cause})
	}
	if i := slices.Index(ep.waiting, c); i >= 0 {
		ep.waiting = slices.Delete(ep.waiting, i, i+1)
		return c.take(verdict{unsent, cause})
	}
	return c.take(<-c.verdict)
}

// depart puts what waits into a request, or returns nil when there is nothing
// or it is not time. The caller holds mu.
func (ep *endpoint) depart() *flight {
	if len(ep.waiting) < 1+ep.ahead*crowd || ep.ahead >= maxAhead || len(ep.aloft) >= maxFlights {
		return nil
	}
	n, size := 0, 0
	for n < len(ep.waiting) && n < maxBatchMessages {
		more := len(ep.waiting[n].message.encoded)
		if n > 0 && size+more > maxBatchBytes {
			break
		}
		size += more
		n++
	}
	leaving := slices.Clone(ep.waiting[:n])
	ep.waiting = slices.Delete(ep.waiting, 0, n)
	ep.ahead++
	ep.last = n
	f := newFlight(ep, leaving, size)
	ep.aloft = append(ep.aloft, f)
	return f
}

// turnAway lets those who wait for a member that cannot be reached choose another
// one. The caller holds mu.
func (ep *endpoint) turnAway(reason error) {
	for _, c := range ep.waiting {
		c.verdict <- verdict{unsent, reason}
	}
	ep.waiting = nil
}

// next lets the next request depart, if there is one.
func (ep *endpoint) next() *flight {
	runtime.Gosched() // those who were answered may have more to send
	ep.mu.Lock()
	defer ep.mu.Unlock()
	ep.ahead--
	return ep.depart()
}

// flyNext is next in a goroutine of its own.
func (ep *endpoint) flyNext() {
	ep.next().flyAlone()
}
