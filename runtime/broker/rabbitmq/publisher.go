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

var (
	errNoConfirmation = errors.New("the server has not confirmed the message")
	errNack           = errors.New("a queue of the topic could not store the message")
	errUnsent         = errors.New("the channel is closed")
)

// publisher is a channel in confirm mode.
type publisher struct {
	channel  *amqp.Channel
	exchange string
	timeout  time.Duration // of confirmations

	sending chan struct{} // holds one while a message gets its tag and is sent
	heard   chan struct{} // takes one when all that the server has said is known
	over    chan struct{} // closed when the server says no more

	mu        sync.Mutex
	waiting   map[uint64]*confirmation // by tag
	returned  map[uint64]struct{}      // tags that no queue took
	sent      uint64                   // the last tag
	confirmed uint64                   // the last tag
	stopped   bool
	refusal   *amqp.Error // why the server has closed the channel
	blocked   bool
	released  chan struct{} // closed when the server takes messages again
}

// confirmation is one message that waits.
type confirmation struct {
	tag  uint64
	own  *amqp.DeferredConfirmation
	done chan error // has room for one
}

func newPublisher(c *connection, channel *amqp.Channel, o config) (*publisher, error) {
	p := &publisher{
		channel: channel, exchange: o.exchange, timeout: o.confirmTimeout,
		sending: make(chan struct{}, 1), heard: make(chan struct{}), over: make(chan struct{}), released: make(chan struct{}),
		waiting: make(map[uint64]*confirmation), returned: make(map[uint64]struct{}),
	}
	// Without buffers, so that all is heard in the order in which the server said it,
	// and what is returned before its confirmation: the client hands over one after
	// the other.
	go p.listen(channel.NotifyReturn(make(chan amqp.Return)), channel.NotifyPublish(make(chan amqp.Confirmation)),
		c.NotifyBlocked(make(chan amqp.Blocking)))
	return p, channel.Confirm(false)
}

// listen takes what the server says until the connection is closed.
func (p *publisher) listen(returns <-chan amqp.Return, confirms <-chan amqp.Confirmation, blockings <-chan amqp.Blocking) {
	defer close(p.over)
	for returns != nil || confirms != nil || blockings != nil {
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
		case b, ok := <-blockings:
			if !ok {
				blockings = nil
				continue
			}
			p.block(b.Active)
		case <-p.heard:
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

// confirm hears confirmations in the order of their tags.
func (p *publisher) confirm(c amqp.Confirmation) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.settle(c.DeliveryTag, c.Ack)
	delete(p.returned, c.DeliveryTag)
	p.confirmed = c.DeliveryTag
}

// settle tells whoever waits for a message what became of it. The caller holds mu.
func (p *publisher) settle(tag uint64, stored bool) {
	w, waits := p.waiting[tag]
	if !waits {
		return
	}
	delete(p.waiting, tag)
	_, returned := p.returned[tag]
	switch {
	case !stored: // other queues of the topic may have it
		w.done <- errNack
	case returned:
		w.done <- broker.NotDelivered(broker.ErrNoSubscribers)
	default:
		w.done <- nil
	}
}

// stop lets no more be sent.
func (p *publisher) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopped = true
}

// refuse notes that the server has closed the channel because of a message.
func (p *publisher) refuse(err *amqp.Error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refusal = err
}

// fail gives up on all messages that wait, because the connection is closed.
func (p *publisher) fail(cause error) {
	<-p.over
	p.sending <- struct{}{} // who sends now finds out by himself
	defer func() { <-p.sending }()
	p.mu.Lock()
	defer p.mu.Unlock()
	err := p.unconfirmed(cause)
	for tag, w := range p.waiting {
		delete(p.waiting, tag)
		w.done <- err
	}
}

// unconfirmed is the error of what was sent and not confirmed. The server does not say
// which message it refuses, so that is known only when there is one. It refuses before
// it routes.
func (p *publisher) unconfirmed(cause error) error {
	if p.refusal != nil && p.sent-p.confirmed == 1 {
		switch p.refusal.Code {
		case amqp.AccessRefused, amqp.PreconditionFailed: // the latter is too large
			return broker.Rejected(p.refusal)
		default: // such as an exchange that somebody has deleted
			return broker.NotDelivered(p.refusal)
		}
	}
	return fmt.Errorf("%w: %w", errNoConfirmation, cause)
}

// block notes whether the server takes messages.
func (p *publisher) block(active bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.blocked && !active {
		close(p.released)
		p.released = make(chan struct{})
	}
	p.blocked = active
}

// isBlocked reports whether the server takes no messages, and when it does again.
func (p *publisher) isBlocked() (bool, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.blocked, p.released
}

// send sends a message. An error that is errUnsent says that it was not sent.
func (p *publisher) send(ctx context.Context, topic string, m amqp.Publishing) (*confirmation, error) {
	select {
	case p.sending <- struct{}{}:
		defer func() { <-p.sending }()
	case <-ctx.Done():
		return nil, broker.NotDelivered(context.Cause(ctx))
	}
	w := &confirmation{tag: p.channel.GetNextPublishSeqNo(), done: make(chan error, 1)}
	m.MessageId = strconv.FormatUint(w.tag, 36)
	p.mu.Lock()
	if p.stopped {
		p.mu.Unlock()
		return nil, errUnsent
	}
	p.waiting[w.tag], p.sent = w, w.tag
	p.mu.Unlock()
	var err error
	if w.own, err = p.channel.PublishWithDeferredConfirm(p.exchange, topic, true, false, m); err != nil {
		p.take(w.tag)
		if errors.Is(err, amqp.ErrClosed) {
			p.unsend()
			return nil, errUnsent
		}
		return nil, err // perhaps a part of it was written
	}
	return w, nil
}

// unsend takes back the last tag.
func (p *publisher) unsend() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sent--
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
	timer := time.NewTimer(p.timeout)
	defer timer.Stop()
	own := w.own.Done()
	var err error
	for err == nil {
		select {
		case err := <-w.done:
			return err
		case <-own:
			p.settleEarly(w)
			own = nil
		case <-ctx.Done():
			err = context.Cause(ctx)
		case <-timer.C:
			err = errNoConfirmation
		}
	}
	if !p.take(w.tag) {
		return <-w.done // its confirmation came at the same moment
	}
	return err
}

// settleEarly settles a message that was confirmed before others. The client keeps such
// a confirmation back until theirs come, and a queue that has lost its majority would
// hold up all topics.
func (p *publisher) settleEarly(w *confirmation) {
	if !w.own.Acked() {
		return // or the channel is closed
	}
	select {
	case p.heard <- struct{}{}: // that it was returned, too
	case <-p.over:
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.settle(w.tag, true)
}
