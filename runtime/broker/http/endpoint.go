package httpbroker

import (
	"context"
	"net/http"
	"net/url"
	"runtime"
	"sync"
	"time"
)

const (
	// maxBatchMessages and maxBatchBytes bound one request. A message that is
	// larger travels alone.
	maxBatchMessages = 256
	maxBatchBytes    = 1 << 20

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
	request   *http.Request // to copy
	health    health
	turns     turns // of a single subscription; a queue has its own

	mu      sync.Mutex
	waiting []*call
	busy    bool // a request is on its way whose messages are not all admitted
	flights int  // requests that are not over
	last    int  // messages of the last request
}

// call is a message on its way to an endpoint. The mutex of the endpoint guards
// what changes.
type call struct {
	message  *outgoing
	verdict  chan verdict // has room for one
	flight   *flight      // nil while it waits
	admitted bool         // the member has it
	settled  bool         // it has its verdict
}

func newEndpoint(p *publisher, e Entry) *endpoint {
	return &endpoint{publisher: p, entry: e, request: &http.Request{
		Method:     http.MethodPost,
		URL:        &url.URL{Scheme: "http", Host: e.Address, Path: DeliverPath},
		Proto:      "HTTP/1.1",
		ProtoMajor: 1,
		ProtoMinor: 1,
		Host:       e.Address,
		Header:     http.Header{"Content-Type": {frameType}, "User-Agent": {""}},
	}}
}

// deliver sends a message and waits for its verdict. A message that was not
// admitted when admitBy fires is given up; nil means never.
func (ep *endpoint) deliver(ctx context.Context, m *outgoing, admitBy <-chan time.Time) verdict {
	c := &call{message: m, verdict: make(chan verdict, 1)}
	ep.mu.Lock()
	ep.waiting = append(ep.waiting, c)
	if !ep.busy && ep.last > 1 { // others are about to come: those of the last request have just been answered
		ep.busy = true
		ep.mu.Unlock()
		runtime.Gosched()
		ep.mu.Lock()
		ep.busy = false
	}
	f := ep.depart()
	ep.mu.Unlock()
	switch {
	case f == nil:
	case len(f.calls) == 1 && f.calls[0] == c && admitBy == nil:
		f.fly(ctx) // nobody else's: it may end with ctx, and needs no goroutine
	default:
		go f.fly(context.WithoutCancel(ctx))
	}
	return ep.await(ctx, c, admitBy)
}

func (ep *endpoint) await(ctx context.Context, c *call, admitBy <-chan time.Time) verdict {
	for {
		select {
		case v := <-c.verdict:
			return v
		case <-ctx.Done():
			return ep.abandon(c, context.Cause(ctx))
		case <-ep.publisher.closed:
			return ep.abandon(c, errPublisherClosed)
		case <-admitBy:
			if !ep.isAdmitted(c) {
				return ep.abandon(c, errSilent)
			}
			admitBy = nil
		}
	}
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
	if c.settled {
		return <-c.verdict
	}
	c.settled = true
	if c.flight != nil {
		c.flight.leave()
		return verdict{kind: cut, err: cause}
	}
	for i, other := range ep.waiting {
		if other == c {
			ep.waiting = append(ep.waiting[:i:i], ep.waiting[i+1:]...)
			break
		}
	}
	return verdict{kind: unsent, err: cause}
}

// depart puts what waits into a request, or returns nil when there is nothing
// or it is not time. The caller holds mu.
func (ep *endpoint) depart() *flight {
	if ep.busy || len(ep.waiting) == 0 || ep.flights >= maxFlights {
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
	f := newFlight(ep, ep.waiting[:n:n], size)
	if ep.waiting = ep.waiting[n:]; len(ep.waiting) == 0 {
		ep.waiting = nil
	}
	ep.busy = true
	ep.flights++
	ep.last = n
	return f
}

// next lets the next request depart.
func (ep *endpoint) next() {
	runtime.Gosched() // those who were answered may have more to send
	ep.mu.Lock()
	ep.busy = false
	f := ep.depart()
	ep.mu.Unlock()
	if f != nil {
		f.fly(context.Background())
	}
}
