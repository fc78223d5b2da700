package rabbitmqbroker

import (
	"context"
	"crypto/rand"
	"errors"
	"math"
	"sync"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/micro-event/micro-event/runtime/broker"
)

var errStopped = errors.New("rabbitmq: source is stopped")

// source consumes a queue, over a channel of the session that there is.
type source struct {
	driver *driver
	spec   broker.SourceSpec
	queue  string
	own    bool // the queue is this source's alone

	life context.Context //nolint:containedctx // it ends with Stop
	stop context.CancelCauseFunc

	// receiving is held by Receive, Stop and Close.
	receiving sync.Mutex
	lane      *lane // nil before the first one
}

var (
	_ broker.Source       = (*source)(nil)
	_ broker.StaleChecker = (*source)(nil)
)

// delivery is the Value of a Raw. It can be settled on its lane only.
type delivery struct {
	lane   *lane
	tag    uint64
	record broker.Record
	err    error // of reading it
}

func deliveryOf(r *broker.Raw) *delivery {
	return r.Value.(*delivery) //nolint:forcetypeassert // Receive puts nothing else there
}

// Open implements [broker.Driver].
func (d *driver) Open(ctx context.Context, spec broker.SourceSpec) (broker.Source, error) {
	s := &source{driver: d, spec: spec, queue: queueOf(spec.Topic, spec.Queue)}
	if spec.Queue == "" {
		s.own, s.queue = true, queueOf(spec.Topic, "own-"+rand.Text())
	}
	s.life, s.stop = context.WithCancelCause(d.link.Ended())
	if err := s.open(ctx); err != nil {
		s.stop(errStopped)
		return nil, err
	}
	return s, nil
}

// open makes a lane. The caller holds receiving, or is alone.
func (s *source) open(ctx context.Context) error {
	session, err := s.driver.link.Await(ctx)
	if err != nil {
		return err
	}
	args := s.driver.ownQueue()
	if !s.own {
		args = quorumQueue(session.publishing)
	}
	if err := s.driver.declare(ctx, s.spec.Topic, s.queue, args); err != nil {
		return err
	}
	l := newLane(session, s.queue, s.spec.Window)
	n := min(s.spec.MaxInFlight+s.spec.Prefetch, math.MaxUint16)
	if err := session.ask(ctx, func() error { return l.open(ctx, n) }); err != nil {
		l.close() // it may be opening still
		return err
	}
	s.lane = l
	return nil
}

// Receive implements [broker.Source].
func (s *source) Receive(ctx context.Context, buf []broker.Raw) (int, error) {
	s.receiving.Lock()
	defer s.receiving.Unlock()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(s.life, func() { cancel(context.Cause(s.life)) }) //nolint:contextcheck // the life of the source is another one
	defer stop()
	for {
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
		if s.lane.isGone() {
			if err := s.open(ctx); err != nil {
				return 0, err
			}
		}
		if n := s.take(buf); n > 0 {
			return n, nil
		}
		if err := s.lane.growIfFull(ctx); err != nil {
			return 0, err
		}
		select {
		case m := <-s.lane.in:
			s.lane.arrived[m.DeliveryTag] = m
		case <-s.lane.gone:
		case <-ctx.Done():
		}
	}
}

// take gives away what has arrived, in the order in which the server sent it.
func (s *source) take(buf []broker.Raw) int {
	l := s.lane
	l.collect()
	n := 0
	for n < len(buf) {
		m, ok := l.arrived[l.next]
		if !ok {
			break
		}
		delete(l.arrived, l.next)
		l.next++
		l.held.Add(1)
		d := &delivery{lane: l, tag: m.DeliveryTag}
		d.record, d.err = newRecord(&m)
		buf[n] = broker.Raw{Key: d.record.Key, Deliveries: deliveries(&m, !s.own), Value: d}
		n++
	}
	return n
}

// Load implements [broker.Source].
func (s *source) Load(r *broker.Raw) (broker.Record, error) {
	d := deliveryOf(r)
	return d.record, d.err
}

// Stale implements [broker.StaleChecker].
func (s *source) Stale(r *broker.Raw) bool { return deliveryOf(r).lane.isGone() }

// Settle implements [broker.Source].
func (s *source) Settle(_ context.Context, r *broker.Raw, o broker.Outcome, _ error) error {
	d := deliveryOf(r)
	if d.lane.isGone() {
		return broker.ErrStale
	}
	d.lane.held.Add(-1)
	var err error
	switch o {
	case broker.GiveBack:
		err = d.lane.channel.Nack(d.tag, false, true)
	case broker.Reject:
		err = d.lane.channel.Reject(d.tag, false)
	case broker.Ack:
		err = d.lane.channel.Ack(d.tag, false)
	}
	if err != nil && (d.lane.isGone() || errors.Is(err, amqp.ErrClosed)) {
		return broker.ErrStale
	}
	return err
}

// Extend implements [broker.Source]. There is no ack clock that could be restarted.
func (s *source) Extend(context.Context, []broker.Raw) {}

// Stop implements [broker.Source]. What was not received goes back.
func (s *source) Stop(ctx context.Context) error {
	if s.life.Err() != nil {
		return nil
	}
	s.stop(errStopped)
	s.receiving.Lock()
	defer s.receiving.Unlock()
	l := s.lane
	err := l.session.ask(ctx, l.cancel)
	l.collect()
	for ; ; l.next++ {
		if _, ok := l.arrived[l.next]; !ok {
			break
		}
		err = errors.Join(err, l.channel.Nack(l.next, false, true))
	}
	if l.isGone() {
		return nil // the server gives back by itself
	}
	return err
}

// Close implements [broker.Source]. What was not settled goes back.
func (s *source) Close(ctx context.Context) error {
	l := s.lane
	var err error
	if s.own && !l.isGone() {
		err = s.driver.withChannel(ctx, func(c *amqp.Channel) error {
			_, err := c.QueueDelete(s.queue, false, false, false)
			return err
		})
	}
	gone := l.isGone()
	closeErr := l.session.ask(ctx, l.shut)
	l.close()
	if gone || errors.Is(closeErr, amqp.ErrClosed) || l.session.isGone() {
		return nil
	}
	return errors.Join(err, closeErr)
}
