package natsbroker

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/micro-event/micro-event/runtime/broker"
)

const (
	// findTimeout bounds looking for a consumer again. Servers that are going down
	// do not answer.
	findTimeout = 2 * time.Second

	// stopTimeout bounds what Stop and Close wait for the server. Messages that are
	// lost after it are delivered again after the ack wait.
	stopTimeout = 500 * time.Millisecond

	maxReasonBytes = 256
)

// Acknowledgements of the JetStream protocol.
var (
	ackAck      = []byte("+ACK")
	ackNak      = []byte("-NAK")
	ackProgress = []byte("+WPI")
)

const ackTerm = "+TERM"

var errStopped = errors.New("nats: source is stopped")

// pullSource asks a consumer for as many messages as the engine has room for,
// and no more. It speaks the protocol itself: the client's iterators buffer
// messages that nobody keeps alive, and lose those that arrive while they are
// stopped until the ack wait is over.
type pullSource struct {
	driver   *Driver
	conn     *nats.Conn
	topic    string
	consumer jetstream.ConsumerConfig
	next     string // subject of requests

	inbox *nats.Subscription
	in    chan *nats.Msg

	stopped chan struct{}
	stop    sync.Once

	// receiving is held by Receive, and by those who look at what arrived and was
	// not received; the fields below are theirs.
	receiving   sync.Mutex
	arrived     []*nats.Msg // before what is in the channel
	outstanding int         // asked for, not arrived
	broken      bool        // the consumer must be looked for
	silence     *time.Timer
}

func (d *Driver) openPull(ctx context.Context, spec broker.SourceSpec) (broker.Source, error) {
	if _, _, err := d.await(ctx); err != nil {
		return nil, err
	}
	conn, _ := d.connection()
	s := &pullSource{driver: d, conn: conn, topic: spec.Topic, stopped: make(chan struct{}), silence: time.NewTimer(pullSilence)}
	if spec.Queue != "" {
		s.consumer = d.durable(spec.Topic, spec.Queue)
	} else {
		s.consumer = d.ephemeral(spec.Topic, rand.Text())
	}
	if err := s.find(ctx); err != nil {
		return nil, err
	}
	// Room for all that is asked for, twice when a connection comes back, and for
	// what the server says beside.
	s.in = make(chan *nats.Msg, 4*(spec.MaxInFlight+spec.Prefetch)+64)
	var err error
	s.inbox, err = conn.ChanSubscribe(conn.NewInbox(), s.in)
	return s, err
}

// find makes sure that the consumer is there.
func (s *pullSource) find(ctx context.Context) error {
	stream, err := s.driver.ensureConsumer(ctx, s.topic, s.consumer)
	if err == nil {
		s.next = "$JS.API.CONSUMER.MSG.NEXT." + stream + "." + s.consumer.Durable
	}
	return err
}

// findAgain is find for a server that may have gone down meanwhile.
func (s *pullSource) findAgain(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, findTimeout)
	defer cancel()
	return s.find(ctx)
}

// Receive implements [broker.Source].
func (s *pullSource) Receive(ctx context.Context, buf []broker.Raw) (int, error) {
	s.receiving.Lock()
	defer s.receiving.Unlock()
	for {
		if _, _, err := s.driver.await(ctx); err != nil {
			return 0, err
		}
		if s.broken {
			if err := s.findAgain(ctx); err != nil {
				return 0, err
			}
			s.broken = false
		}
		restored := s.driver.restoration()
		if s.isStopped() {
			return 0, errStopped
		}
		if err := s.ask(len(buf)); err != nil {
			return 0, err
		}
		if n, err := s.take(buf); n > 0 || err != nil {
			return n, err
		}
		if err := s.wait(ctx, restored); err != nil {
			return 0, err
		}
	}
}

func (s *pullSource) isStopped() bool {
	select {
	case <-s.stopped:
		return true
	default:
		return false
	}
}

// Load implements [broker.Source].
func (s *pullSource) Load(r *broker.Raw) (broker.Record, error) {
	d := deliveryOf(r)
	return d.record, d.err
}

// Settle implements [broker.Source]. While the connection is lost the client
// keeps what is settled and sends it later.
func (s *pullSource) Settle(_ context.Context, r *broker.Raw, o broker.Outcome, cause error) error {
	ack := ackAck
	switch o {
	case broker.GiveBack:
		ack = ackNak
	case broker.Reject:
		ack = []byte(ackTerm)
		if cause != nil {
			ack = []byte(ackTerm + " " + reason(cause))
		}
	case broker.Ack:
	}
	return s.conn.Publish(deliveryOf(r).reply, ack)
}

// reason is the text of an error for the server's advisory.
func reason(cause error) string {
	text := strings.Join(strings.Fields(cause.Error()), " ")
	return strings.ToValidUTF8(text[:min(len(text), maxReasonBytes)], "")
}

// Extend implements [broker.Source]. What has arrived and was not received yet
// is extended too; what cannot be told is delivered again.
func (s *pullSource) Extend(_ context.Context, held []broker.Raw) {
	for i := range held {
		s.progress(deliveryOf(&held[i]).reply)
	}
	if !s.receiving.TryLock() {
		return // it is about to be received
	}
	defer s.receiving.Unlock()
	s.collect()
	for _, m := range s.arrived {
		if m.Reply != "" {
			s.progress(m.Reply)
		}
	}
}

func (s *pullSource) progress(reply string) {
	//nolint:errcheck // the message is delivered again, as if this had come too late
	_ = s.conn.Publish(reply, ackProgress)
}

// collect moves what is in the channel to arrived.
func (s *pullSource) collect() {
	for range len(s.in) {
		s.arrived = append(s.arrived, <-s.in)
	}
}

// Stop implements [broker.Source]. When it returns the server has forgotten what
// was asked for, and what it had sent is here.
func (s *pullSource) Stop(ctx context.Context) error {
	var err error
	s.stop.Do(func() {
		close(s.stopped)
		if err = s.inbox.Drain(); err != nil || !s.conn.IsConnected() {
			return
		}
		err = flush(ctx, s.conn, stopTimeout)
	})
	return ignoreLost(err)
}

// ignoreLost forgets errors of a connection that is gone: there is nobody to
// tell, and the server notices by itself.
func ignoreLost(err error) error {
	if errors.Is(err, nats.ErrConnectionClosed) || errors.Is(err, context.DeadlineExceeded) ||
		errors.Is(err, nats.ErrTimeout) || errors.Is(err, nats.ErrDisconnected) {
		return nil
	}
	return err
}

// Close implements [broker.Source]. It gives back what was not received, and
// deletes the consumer of a subscription without a queue.
func (s *pullSource) Close(ctx context.Context) error {
	s.silence.Stop()
	err := s.giveBackRest()
	if !s.conn.IsConnected() {
		return ignoreLost(err)
	}
	err = errors.Join(err, flush(ctx, s.conn, stopTimeout))
	if s.consumer.InactiveThreshold > 0 {
		err = errors.Join(err, s.remove(ctx))
	}
	return ignoreLost(err)
}

func (s *pullSource) giveBackRest() error {
	s.receiving.Lock()
	defer s.receiving.Unlock()
	s.collect()
	var errs []error
	for _, m := range s.arrived {
		if m.Reply != "" {
			errs = append(errs, s.conn.Publish(m.Reply, ackNak))
		}
	}
	s.arrived = nil
	return errors.Join(errs...)
}

// remove deletes the consumer. If it cannot, the server does so after the
// inactive threshold.
func (s *pullSource) remove(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	stream := strings.Split(s.next, ".")[5]
	err := s.driver.js.DeleteConsumer(ctx, stream, s.consumer.Durable)
	if errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil
	}
	return err
}
