package mqttbroker

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/eclipse/paho.golang/packets"
	sessions "github.com/eclipse/paho.golang/paho/session"

	"github.com/micro-event/micro-event/runtime/broker"
	"github.com/micro-event/micro-event/runtime/broker/internal/window"
)

// confirmTimeout bounds waiting for an acknowledgement where the context does not.
const confirmTimeout = 30 * time.Second

// A server that is over its quota is asked again after pauses that double between
// these.
const (
	lowestWait  = 10 * time.Millisecond
	highestWait = 500 * time.Millisecond
)

var (
	errNoAnswer = errors.New("the server has not acknowledged the message")
	errNoIDs    = errors.New("all packet identifiers are in use")
)

// sending is a message that waits for its acknowledgement.
type sending struct {
	session *session
	answer  chan packets.ControlPacket // has room for one
}

// Publish implements [broker.Driver].
func (d *driver) Publish(ctx context.Context, topic string, r *broker.Record, o broker.PublishOptions) error {
	if err := d.window.Take(ctx, o.NoWait); err != nil {
		return err
	}
	defer d.window.Free()
	for wait := lowestWait; ; wait = min(2*wait, highestWait) {
		w, err := d.send(ctx, topic, r)
		if err != nil {
			return err
		}
		if err = w.await(ctx); o.NoWait || !errors.Is(err, broker.ErrBackpressure) {
			return err
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return broker.NotDelivered(fmt.Errorf("%w: %w", err, context.Cause(ctx)))
		}
	}
}

// send sends a message over the session that there is. Its errors say that nothing was
// sent.
func (d *driver) send(ctx context.Context, topic string, r *broker.Record) (*sending, error) {
	for {
		s, err := d.link.Await(ctx)
		if err != nil {
			return nil, err
		}
		p := newPublish(topic, r)
		if size := packetSize(p); size > s.maxPacket {
			return nil, broker.Rejected(fmt.Errorf("%w: %d bytes with headers, the server takes %d", broker.ErrTooLarge, size, s.maxPacket))
		}
		w := &sending{s, make(chan packets.ControlPacket, 1)}
		err = s.AddToSession(ctx, p, w.answer)
		switch {
		case err == nil:
			_, err := p.WriteTo(s.conn)
			return w, err // the connection tells by its end that it has not sent it
		case errors.Is(err, sessions.ErrNoConnection):
			select {
			case <-s.gone:
			case <-ctx.Done():
			}
		case errors.Is(err, sessions.ErrPacketIdentifiersExhausted):
			return nil, broker.NotDelivered(fmt.Errorf("%w: %w", broker.ErrBackpressure, errNoIDs))
		case ctx.Err() != nil:
			return nil, broker.NotDelivered(fmt.Errorf("%w: %w", broker.ErrBackpressure, context.Cause(ctx)))
		default:
			return nil, broker.NotDelivered(err)
		}
	}
}

// await returns what became of the message.
func (w *sending) await(ctx context.Context) error {
	timer := time.NewTimer(confirmTimeout)
	defer timer.Stop()
	select {
	case answer := <-w.answer:
		return w.outcome(answer)
	case <-w.session.gone:
	case <-timer.C:
		return errNoAnswer
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", errNoAnswer, context.Cause(ctx))
	}
	select {
	case answer := <-w.answer: // it came first
		return w.outcome(answer)
	default:
		return w.unanswered()
	}
}

// unanswered is the error of what was sent in a session that is over.
func (w *sending) unanswered() error { return fmt.Errorf("%w: %w", errNoAnswer, w.session.err) }

// Reason codes of PUBACK (MQTT 5, section 3.4.2.1).
const (
	noMatchingSubscribers  = 0x10
	unspecified            = 0x80
	implementationSpecific = 0x83
	identifierInUse        = 0x91
	quotaExceeded          = 0x97
	firstError             = 0x80
)

// outcome says what an acknowledgement means. When the session is over the client
// library answers without content, or not at all.
func (w *sending) outcome(answer packets.ControlPacket) error {
	ack, ok := answer.Content.(*packets.Puback)
	if !ok {
		return w.unanswered()
	}
	refusal := func() error {
		reason := ack.Reason()
		if p := ack.Properties; p != nil && p.ReasonString != "" {
			reason = p.ReasonString
		}
		return fmt.Errorf("the server refuses the message: %s (0x%02x)", reason, ack.ReasonCode)
	}
	switch {
	case ack.ReasonCode == noMatchingSubscribers:
		return broker.NotDelivered(broker.ErrNoSubscribers)
	case ack.ReasonCode < firstError:
		return nil
	case ack.ReasonCode == quotaExceeded:
		return broker.NotDelivered(fmt.Errorf("%w: %w", broker.ErrBackpressure, refusal()))
	case ack.ReasonCode == unspecified, ack.ReasonCode == implementationSpecific, ack.ReasonCode == identifierInUse:
		return broker.NotDelivered(refusal())
	default:
		return broker.Rejected(refusal())
	}
}

// PublishBatch implements [broker.BatchPublisher]. Messages are sent without waiting
// for the acknowledgements of those before, as far as the window goes.
func (d *driver) PublishBatch(ctx context.Context, topic string, rs []*broker.Record, o broker.PublishOptions) []error {
	return window.Batch(ctx, d.window, len(rs), o.NoWait, func(i int) (*sending, error) {
		return d.send(ctx, topic, rs[i])
	}, func(w *sending) error { return w.await(ctx) })
}

// packetSize returns how many bytes a packet takes, at most.
func packetSize(p *packets.Publish) int {
	const fixed, text = 5, 3 // the header; a property and the length of its value
	size := fixed + 2 + len(p.Topic) + 2 + 4 + text + len(p.Properties.ContentType) + len(p.Payload)
	for i := range p.Properties.User {
		u := &p.Properties.User[i]
		size += text + len(u.Key) + 2 + len(u.Value)
	}
	return min(size, math.MaxInt32)
}
