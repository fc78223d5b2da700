package mqttbroker

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/eclipse/paho.golang/paho"

	"github.com/micro-event/micro-event/runtime/broker"
	"github.com/micro-event/micro-event/runtime/broker/internal/link"
)

var (
	errStopped = errors.New("mqtt: source is stopped")
	errForgot  = errors.New("mqtt: the server has lost the session: what it kept for it is lost")
	errQoS     = errors.New("the server grants only QoS 0, which may lose messages")
)

// source has a connection of its own and hands over what comes on it.
type source struct {
	link   *link.Link[*session]
	filter string
	keep   bool // the session, when the source is closed
	client client
	place  *place // nil where nobody else can have the client id

	life context.Context //nolint:containedctx // it ends with Stop
	stop context.CancelCauseFunc

	epochs atomic.Int32

	mu      sync.Mutex
	arrived []*delivery
	fault   error         // yet to be reported
	news    chan struct{} // has room for one
}

var (
	_ broker.Source       = (*source)(nil)
	_ broker.StaleChecker = (*source)(nil)
)

// delivery is the Value of a Raw. It can be settled on its session only.
type delivery struct {
	session *session
	epoch   int32
	packet  *paho.Publish
	record  broker.Record
	err     error // of reading it
}

func deliveryOf(r *broker.Raw) *delivery {
	return r.Value.(*delivery) //nolint:forcetypeassert // Receive puts nothing else there
}

// Declare implements [broker.Driver]. It is not called without the capability.
func (d *driver) Declare(context.Context, string, string) error { return broker.ErrUnsupported }

// Open implements [broker.Driver].
func (d *driver) Open(ctx context.Context, spec broker.SourceSpec) (broker.Source, error) {
	u, err := parseURL(d.url)
	if err != nil {
		return nil, err
	}
	s := &source{filter: filterOf(spec.Topic, spec.Queue), news: make(chan struct{}, 1)}
	id := d.base() + "-" + rand.Text()
	if spec.Queue != "" {
		s.keep = d.durable()
		s.place = takePlace(u.Host, d.base()+"-"+short(s.filter))
		id = s.place.id()
	}
	s.client = client{url: u, config: &d.config, id: id, keep: true, deliver: s.deliver}
	s.life, s.stop = context.WithCancelCause(context.Background())
	s.link = link.New(s.dial, s.report)
	if err := s.link.Begin(ctx); err != nil {
		s.place.leave()
		return nil, err
	}
	return s, nil
}

// dial connects and subscribes.
func (s *source) dial(ctx context.Context) (*session, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	first := s.epochs.Add(1) == 1
	session, err := s.client.dial(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.subscribe(ctx, session); err != nil {
		session.end(s.keep || !first)
		return nil, err
	}
	if !first && !session.resumed {
		s.report(errForgot)
	}
	return session, nil
}

// report lets Receive return an error, so that it is logged.
func (s *source) report(err error) {
	s.mu.Lock()
	if err != nil && !errors.Is(s.fault, err) {
		s.fault = errors.Join(s.fault, err)
	}
	s.mu.Unlock()
	s.wake()
}

// subscribe asks for the messages, which is repeated in a session that has been there
// before. What others told the server to retain is no message.
func (s *source) subscribe(ctx context.Context, session *session) error {
	const atLeastOnce, noRetained = 1, 2
	request := &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{
		{Topic: s.filter, QoS: atLeastOnce, RetainHandling: noRetained},
	}}
	for ctx.Err() == nil {
		answer, err := session.client.Subscribe(ctx, request)
		switch {
		case answer == nil || len(answer.Reasons) != 1:
			return fmt.Errorf("no answer to SUBSCRIBE: %w", err)
		case answer.Reasons[0] == identifierInUse: // the next one may not be
		case answer.Reasons[0] >= firstError:
			return fmt.Errorf("the server refuses the subscription to %q: 0x%02x", s.filter, answer.Reasons[0])
		case answer.Reasons[0] != atLeastOnce:
			return errQoS
		default:
			return nil
		}
	}
	return context.Cause(ctx)
}

// deliver takes a message in. It is called in the order of the messages.
func (s *source) deliver(session *session, p *paho.Publish) {
	d := &delivery{session: session, epoch: s.epochs.Load(), packet: p}
	d.record, d.err = newRecord(p)
	s.mu.Lock()
	s.arrived = append(s.arrived, d)
	s.mu.Unlock()
	s.wake()
}

func (s *source) wake() {
	select {
	case s.news <- struct{}{}:
	default:
	}
}

// Receive implements [broker.Source].
func (s *source) Receive(ctx context.Context, buf []broker.Raw) (int, error) {
	for {
		if s.life.Err() != nil {
			return 0, context.Cause(s.life) //nolint:contextcheck // the life of the source is another one
		}
		if n, err := s.take(buf); n > 0 || err != nil {
			return n, err
		}
		select {
		case <-s.news:
		case <-s.life.Done():
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	}
}

// take gives away what has arrived.
func (s *source) take(buf []broker.Raw) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.fault; err != nil {
		s.fault = nil
		s.wake()
		return 0, err
	}
	n := 0
	for len(s.arrived) > 0 && n < len(buf) {
		d := s.arrived[0]
		s.arrived[0] = nil // the array outlives it
		s.arrived = s.arrived[1:]
		if d.session.isGone() {
			continue // the server sends it again
		}
		buf[n] = broker.Raw{Key: d.record.Key, Partition: d.epoch, Value: d}
		n++
	}
	if len(s.arrived) > 0 {
		s.wake()
	}
	return n, nil
}

// Load implements [broker.Source].
func (s *source) Load(r *broker.Raw) (broker.Record, error) {
	d := deliveryOf(r)
	return d.record, d.err
}

// Stale implements [broker.StaleChecker].
func (s *source) Stale(r *broker.Raw) bool { return deliveryOf(r).session.isGone() }

// Settle implements [broker.Source]. The engine calls it in the order of the messages,
// as acknowledgements must be (MQTT 5, section 4.6), and never for one that is given
// back: it stays in the session.
func (s *source) Settle(_ context.Context, r *broker.Raw, _ broker.Outcome, _ error) error {
	d := deliveryOf(r)
	if d.session.isGone() {
		return broker.ErrStale
	}
	if d.packet.QoS == 0 {
		return nil
	}
	return d.session.acknowledge(d.packet.PacketID)
}

// Extend implements [broker.Source]. There is no ack clock.
func (s *source) Extend(context.Context, []broker.Raw) {}

// Stop implements [broker.Source]. A session that is kept goes on taking messages for
// the next member that has its place. From another one, other members get them.
func (s *source) Stop(ctx context.Context) error {
	if s.life.Err() != nil {
		return nil //nolint:nilerr // it is idempotent
	}
	s.stop(errStopped)
	if s.keep {
		return nil
	}
	if session, lost := s.link.Current(); lost == nil {
		_, err := session.client.Unsubscribe(ctx, &paho.Unsubscribe{Topics: []string{s.filter}})
		if !session.isGone() {
			return err
		}
	}
	return nil // without a connection nothing comes
}

// Close implements [broker.Source]. What was not settled stays in the session, if that
// is kept, and comes again with the next member that has its place.
func (s *source) Close(context.Context) error {
	s.link.End().end(s.keep)
	s.place.leave()
	return nil
}
