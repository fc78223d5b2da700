package httpbroker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
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
	driver   *Driver
	options  *options
	registry Registry
	level    Level
	closed   chan struct{}
	life     context.Context //nolint:containedctx // it is the life of what runs without a caller
	end      context.CancelFunc
	running  sync.WaitGroup // goroutines that live longer than a call
	waiting  allowance      // calls of Publish that wait for a member
	backlogs allowance      // messages in the backlogs
	ids      ids
	budget   budget
	topics   sync.Map // of *topic, by name

	mu     sync.Mutex
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
		conns:    make(map[net.Conn]struct{}),
	}
	p.life, p.end = context.WithCancel(context.Background())
	return p
}

// outgoing is a message in the form in which it travels.
type outgoing struct {
	choice  string // by which its member is chosen: its key, or else its id
	key     string
	encoded []byte
}

// outgoings keeps those that were sent.
var outgoings = sync.Pool{New: func() any { return new(outgoing) }}

func (m *outgoing) free() {
	if cap(m.encoded) <= maxPooledBytes {
		outgoings.Put(m)
	}
}

// publish sends r to all queues of the topic and all single subscriptions.
func (p *publisher) publish(ctx context.Context, topic string, r *broker.Record, o broker.PublishOptions) error {
	t, route, err := p.route(ctx, topic)
	if err != nil {
		return broker.NotDelivered(err)
	}
	if route.empty() {
		return broker.NotDelivered(broker.ErrNoSubscribers)
	}
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(publishTimeout)
	}
	m := p.encode(r)
	defer m.free()
	legs := p.legs(t, route, m, deadline, o)
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
	m := outgoings.Get().(*outgoing) //nolint:forcetypeassert // it holds nothing else
	m.choice, m.key = r.Key, r.Key
	if m.choice == "" {
		m.choice = id
	}
	m.encoded = appendMessage(m.encoded[:0], own, r)
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
func fanOut(ctx context.Context, legs []leg) error {
	slots := make(chan struct{}, maxFanOut)
	var wg sync.WaitGroup
	errs := make([]error, len(legs))
	for i := range legs[1:] {
		slots <- struct{}{}
		wg.Go(func() {
			errs[i+1] = legs[i+1].run(ctx)
			<-slots
		})
	}
	errs[0] = legs[0].run(ctx)
	wg.Wait()
	return joinLegs(legs, errs)
}

// joinLegs says what became of a message that was sent to several: it is not
// delivered only when none can have it.
func joinLegs(legs []leg, errs []error) error {
	var failures []error
	reached, refused, uncertain := 0, 0, false
	for i, err := range errs {
		uncertain = uncertain || err != nil && legs[i].isUncertain()
		switch {
		case err == nil:
			reached++
			continue
		case errors.Is(err, errGone):
			continue
		case errors.Is(err, errRejected):
			refused++
		}
		failures = append(failures, fmt.Errorf("%s: %w", &legs[i], err))
	}
	err := errors.Join(failures...)
	switch {
	case err == nil && reached > 0:
		return nil
	case err == nil:
		err = broker.ErrNoSubscribers
	}
	switch {
	case uncertain:
		return err
	case refused > 0 && refused == len(failures):
		return broker.Rejected(err)
	case reached == 0 && refused == 0:
		return broker.NotDelivered(err)
	}
	return err
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
	return err
}
