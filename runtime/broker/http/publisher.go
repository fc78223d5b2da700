package httpbroker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/micro-event/micro-event/runtime/broker"
)

const (
	// publishTimeout bounds a Publish whose context has no deadline.
	publishTimeout = 30 * time.Second

	dialTimeout = time.Second

	// maxFanOut bounds how many deliveries of one Publish run at once.
	maxFanOut = 64
)

// publisher is the sending half of a driver, from Connect to Close.
type publisher struct {
	driver    *Driver
	options   *options
	registry  Registry
	level     Level
	transport *http.Transport
	closed    chan struct{}
	life      context.Context //nolint:containedctx // it is the life of what runs without a caller
	end       context.CancelFunc
	running   sync.WaitGroup // goroutines that live longer than a call
	waiting   allowance      // calls of Publish that wait for a member
	backlogs  allowance      // messages in the backlogs
	ids       ids

	mu     sync.Mutex
	topics map[string]*topic
	conns  map[net.Conn]struct{}
	ending bool
}

func newPublisher(d *Driver, r Registry) *publisher {
	p := &publisher{
		driver:   d,
		options:  &d.options,
		registry: r,
		level:    d.options.level,
		closed:   make(chan struct{}),
		waiting:  allowance{messages: d.options.backlog, bytes: d.options.backlogBytes},
		backlogs: allowance{messages: d.options.backlog, bytes: d.options.backlogBytes},
		ids:      newIDs(),
		topics:   make(map[string]*topic),
		conns:    make(map[net.Conn]struct{}),
	}
	p.life, p.end = context.WithCancel(context.Background())
	p.transport = &http.Transport{
		DialContext:         p.dial,
		MaxIdleConnsPerHost: maxFlights,
		IdleConnTimeout:     idleTimeout / 2, // before the server closes them
		DisableCompression:  true,
	}
	return p
}

// outgoing is a message in the form in which it travels.
type outgoing struct {
	choice  string // by which its member is chosen: its key, or else its id
	key     string
	encoded []byte
}

// publish sends r to all queues of the topic and all single subscriptions.
func (p *publisher) publish(ctx context.Context, topic string, r *broker.Record, o broker.PublishOptions) error {
	t, route, err := p.route(ctx, topic)
	if err != nil {
		return broker.NotDelivered(err)
	}
	if route.empty() {
		return broker.ErrNoSubscribers
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, publishTimeout)
		defer cancel()
	}
	m := p.encode(r)
	defer bodies.put(m.encoded)
	legs := p.legs(t, route, m, o)
	if err := selfDelivery(ctx, legs); err != nil {
		return broker.NotDelivered(err)
	}
	if len(legs) == 1 {
		return legs[0].error(legs[0].run(ctx))
	}
	return fanOut(ctx, legs)
}

func (p *publisher) encode(r *broker.Record) *outgoing {
	own, id := "", eventID(r)
	if id == "" {
		own = p.ids.next()
		id = own
	}
	m := &outgoing{choice: r.Key, key: r.Key}
	if m.choice == "" {
		m.choice = id
	}
	size := 64 + len(own) + len(r.Key) + len(r.Body)
	for i := range r.Header {
		size += 16 + len(r.Header[i].Name) + len(r.Header[i].Value)
	}
	m.encoded = appendMessage(bodies.get(size), own, r)
	return m
}

// redriveHeader marks a message that is published again on purpose: it must not
// be taken for a repetition of the one that was dead-lettered.
const redriveHeader = "micro-redrive-queue"

// eventID returns the id of the event that a message is, which identifies it. It
// is empty for a message that needs an id of its own.
func eventID(r *broker.Record) string {
	if _, redriven := r.Get(redriveHeader); redriven {
		return ""
	}
	id, _ := r.Get(idHeader)
	return id
}

// fanOut runs legs at once and joins what became of them.
func fanOut(ctx context.Context, legs []*leg) error {
	slots := make(chan struct{}, maxFanOut)
	var wg sync.WaitGroup
	errs := make([]error, len(legs))
	for i, l := range legs[1:] {
		slots <- struct{}{}
		wg.Go(func() {
			errs[i+1] = l.run(ctx)
			<-slots
		})
	}
	errs[0] = legs[0].run(ctx)
	wg.Wait()
	return joinLegs(legs, errs)
}

// joinLegs says what became of a message that was sent to several: it is not
// delivered only when none can have it.
func joinLegs(legs []*leg, errs []error) error {
	var failures []error
	reached, refused, uncertain := 0, 0, false
	for i, err := range errs {
		switch {
		case err == nil:
			reached++
			continue
		case errors.Is(err, errRejected):
			refused++
		case legs[i].uncertain:
			uncertain = true
		}
		failures = append(failures, fmt.Errorf("%s: %w", legs[i], err))
	}
	err := errors.Join(failures...)
	switch {
	case err == nil:
		return nil
	case refused == len(failures):
		return broker.Rejected(err)
	case !uncertain && reached == 0 && refused == 0:
		return broker.NotDelivered(err)
	}
	return err
}

// dialError is an error before anything was written.
type dialError struct{ err error }

func (e *dialError) Error() string { return e.err.Error() }
func (e *dialError) Unwrap() error { return e.err }

// dial connects to a member, if that may be one.
func (p *publisher) dial(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := net.Dialer{
		Timeout: dialTimeout,
		Control: func(_, resolved string, _ syscall.RawConn) error { return p.options.mayDial(resolved) },
	}
	c, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, &dialError{err}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ending {
		return nil, &dialError{errors.Join(errPublisherClosed, c.Close())}
	}
	p.conns[c] = struct{}{}
	return &trackedConn{Conn: c, publisher: p}, nil
}

// trackedConn is a connection that the publisher closes when it ends.
type trackedConn struct {
	net.Conn
	publisher *publisher
	once      atomic.Bool
}

// Close implements [net.Conn].
func (c *trackedConn) Close() error {
	if c.once.CompareAndSwap(false, true) {
		c.publisher.mu.Lock()
		delete(c.publisher.conns, c.Conn)
		c.publisher.mu.Unlock()
	}
	return c.Conn.Close()
}

// close sends what is left in the backlogs, as long as ctx allows, and ends all
// that waits.
func (p *publisher) close(ctx context.Context) error {
	err := p.flush(ctx)
	close(p.closed)
	p.end()
	p.mu.Lock()
	p.ending = true
	for c := range p.conns {
		c.Close() //nolint:errcheck // those who use it get an error of their own
	}
	p.mu.Unlock()
	p.running.Wait()
	p.transport.CloseIdleConnections()
	return err
}
