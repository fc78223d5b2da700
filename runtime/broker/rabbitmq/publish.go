package rabbitmqbroker

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/micro-event/micro-event/runtime/broker"
)

// confirmTimeout bounds waiting for a confirmation where the context does not.
const confirmTimeout = 30 * time.Second

var (
	errNoConfirmation = errors.New("the server has not confirmed the message")
	errNack           = errors.New("the server could not store the message")
	errUnsent         = errors.New("the channel is closed")
)

// publisher is a channel in confirm mode.
type publisher struct {
	channel  *amqp.Channel
	exchange string

	sending sync.Mutex // held while a message gets its tag and is sent

	mu       sync.Mutex
	waiting  map[uint64]*confirmation // by tag
	returned map[uint64]struct{}      // tags that no queue took
	failed   error
	blocked  bool
	released chan struct{} // closed when the server takes messages again
}

// confirmation is one message that waits.
type confirmation struct {
	tag  uint64
	done chan error // has room for one
}

func newPublisher(channel *amqp.Channel, exchange string) (*publisher, error) {
	p := &publisher{
		channel: channel, exchange: exchange, waiting: make(map[uint64]*confirmation),
		returned: make(map[uint64]struct{}), released: make(chan struct{}),
	}
	// Without buffers, so that what is returned is read before its confirmation: the
	// server sends it before, and the client hands over one after the other.
	returns, confirms := channel.NotifyReturn(make(chan amqp.Return)), channel.NotifyPublish(make(chan amqp.Confirmation))
	go p.listen(returns, confirms)
	return p, channel.Confirm(false)
}

// listen takes what the server says until the channel is closed.
func (p *publisher) listen(returns <-chan amqp.Return, confirms <-chan amqp.Confirmation) {
	for returns != nil || confirms != nil {
		select {
		case r, ok := <-returns:
			if !ok {
				returns = nil
				continue
			}
			p.noteReturn(r.MessageId)
		case c, ok := <-confirms:
			if !ok {
				confirms = nil
				continue
			}
			p.confirm(c)
		}
	}
}

func (p *publisher) noteReturn(id string) {
	tag, err := strconv.ParseUint(id, 36, 64)
	if err != nil {
		return // not one of ours
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.returned[tag] = struct{}{}
}

func (p *publisher) confirm(c amqp.Confirmation) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w, waits := p.waiting[c.DeliveryTag]
	_, returned := p.returned[c.DeliveryTag]
	delete(p.waiting, c.DeliveryTag)
	delete(p.returned, c.DeliveryTag)
	switch {
	case !waits: // its caller has gone
	case !c.Ack:
		w.done <- broker.NotDelivered(errNack)
	case returned:
		w.done <- broker.ErrNoSubscribers
	default:
		w.done <- nil
	}
}

// fail gives up on all messages that wait, because the session is over.
func (p *publisher) fail(cause error) {
	err := fmt.Errorf("%w: %w", errNoConfirmation, cause)
	if refusal, ok := errors.AsType[*amqp.Error](cause); ok && refusal.Code == amqp.AccessRefused {
		err = broker.Rejected(refusal)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failed = err
	for tag, w := range p.waiting {
		delete(p.waiting, tag)
		w.done <- err
	}
}

// watchBlocked follows whether the server takes messages.
func (p *publisher) watchBlocked(blockings <-chan amqp.Blocking) {
	go func() {
		for b := range blockings {
			p.mu.Lock()
			if p.blocked && !b.Active {
				close(p.released)
				p.released = make(chan struct{})
			}
			p.blocked = b.Active
			p.mu.Unlock()
		}
	}()
}

// isBlocked reports whether the server takes no messages, and when it does again.
func (p *publisher) isBlocked() (bool, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.blocked, p.released
}

// send sends a message. An error that is errUnsent says that it was not sent.
func (p *publisher) send(topic string, m amqp.Publishing) (*confirmation, error) {
	p.sending.Lock()
	defer p.sending.Unlock()
	w := &confirmation{tag: p.channel.GetNextPublishSeqNo(), done: make(chan error, 1)}
	m.MessageId = strconv.FormatUint(w.tag, 36)
	p.mu.Lock()
	if p.failed != nil {
		p.mu.Unlock()
		return nil, errUnsent
	}
	p.waiting[w.tag] = w
	p.mu.Unlock()
	if _, err := p.channel.PublishWithDeferredConfirm(p.exchange, topic, true, false, m); err != nil {
		p.take(w.tag)
		if errors.Is(err, amqp.ErrClosed) {
			return nil, errUnsent
		}
		return nil, err // perhaps a part of it was written
	}
	return w, nil
}

// take takes a message out of those that wait, unless it was taken.
func (p *publisher) take(tag uint64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, waits := p.waiting[tag]
	delete(p.waiting, tag)
	return waits
}

// await returns what became of a message.
func (p *publisher) await(ctx context.Context, w *confirmation) error {
	timer := time.NewTimer(confirmTimeout)
	defer timer.Stop()
	var err error
	select {
	case err := <-w.done:
		return err
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-timer.C:
		err = errNoConfirmation
	}
	if !p.take(w.tag) {
		return <-w.done // its confirmation came at the same moment
	}
	return err
}

// Publish implements [broker.Driver].
func (d *driver) Publish(ctx context.Context, topic string, r *broker.Record, o broker.PublishOptions) error {
	if err := d.takeSlot(ctx, o); err != nil {
		return err
	}
	defer d.freeSlot()
	p, w, err := d.send(ctx, topic, r, o)
	if err != nil {
		return err
	}
	return p.await(ctx, w)
}

// send sends a message once there is a session that takes it.
func (d *driver) send(ctx context.Context, topic string, r *broker.Record, o broker.PublishOptions) (*publisher, *confirmation, error) {
	for {
		s, err := d.link.await(ctx)
		if err != nil {
			return nil, nil, err
		}
		if err := s.awaitRoom(ctx, o); err != nil {
			return nil, nil, err
		}
		w, err := s.publisher.send(topic, newPublishing(r))
		if !errors.Is(err, errUnsent) {
			return s.publisher, w, err
		}
		select { // the session is about to end
		case <-s.gone:
		case <-ctx.Done():
			return nil, nil, broker.NotDelivered(context.Cause(ctx))
		}
	}
}

// awaitRoom waits while the server is short of memory or disk.
func (s *session) awaitRoom(ctx context.Context, o broker.PublishOptions) error {
	for {
		blocked, released := s.publisher.isBlocked()
		if !blocked {
			return nil
		}
		err := fmt.Errorf("%w: the server is short of memory or disk", broker.ErrBackpressure)
		if o.NoWait {
			return err
		}
		select {
		case <-released:
		case <-s.gone:
			return nil // sending finds out
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		}
	}
}

// takeSlot waits for room in the publish window.
func (d *driver) takeSlot(ctx context.Context, o broker.PublishOptions) error {
	select {
	case d.slots <- struct{}{}:
		return nil
	default:
	}
	if o.NoWait {
		return fmt.Errorf("%w in the publish window", broker.ErrBackpressure)
	}
	select {
	case d.slots <- struct{}{}:
		return nil
	case <-d.link.ended.Done():
		return broker.ErrClosed
	case <-ctx.Done():
		return broker.NotDelivered(fmt.Errorf("wait for room in the publish window: %w", context.Cause(ctx)))
	}
}

func (d *driver) freeSlot() { <-d.slots }

// PublishBatch implements [broker.BatchPublisher]. It keeps as many messages on their
// way as the publish window has room for.
func (d *driver) PublishBatch(ctx context.Context, topic string, rs []*broker.Record, o broker.PublishOptions) []error {
	b := batch{driver: d, errs: make([]error, len(rs)), sent: make([]sentMessage, len(rs))}
	for i, r := range rs {
		if err := b.takeSlot(ctx, i, o); err != nil {
			b.errs[i] = err
			continue
		}
		p, w, err := d.send(ctx, topic, r, o)
		if err != nil {
			b.errs[i] = err
			d.freeSlot()
			continue
		}
		b.sent[i] = sentMessage{p, w}
	}
	for b.waited < len(rs) {
		b.confirmNext(ctx)
	}
	return b.errs
}

// batch is one PublishBatch: the messages before waited are done, those after it may
// be on their way.
type batch struct {
	driver *driver
	sent   []sentMessage
	errs   []error
	waited int
}

type sentMessage struct {
	publisher    *publisher
	confirmation *confirmation
}

// takeSlot makes room for message i, by waiting for those before it if need be.
func (b *batch) takeSlot(ctx context.Context, i int, o broker.PublishOptions) error {
	for b.waited < i {
		if b.driver.takeSlot(ctx, broker.PublishOptions{NoWait: true}) == nil {
			return nil
		}
		b.confirmNext(ctx)
	}
	return b.driver.takeSlot(ctx, o)
}

func (b *batch) confirmNext(ctx context.Context) {
	i := b.waited
	b.waited++
	if m := b.sent[i]; m.confirmation != nil {
		b.errs[i] = m.publisher.await(ctx, m.confirmation)
		b.driver.freeSlot()
	}
}
