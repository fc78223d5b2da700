package natsbroker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/micro-event/micro-event/runtime/broker"
)

var errNoConfirmation = errors.New("the server has not confirmed the message")

// acks are the confirmations that published messages wait for. It does what the
// client's PublishMsgAsync does, but never sends a message again by itself, after
// its Publish has returned and out of order, and costs less.
type acks struct {
	conn   *nats.Conn
	prefix string // of the subjects that confirmations come to

	mu      sync.Mutex
	last    uint64
	waiting map[uint64]*ack
}

// ack is one message that waits. It belongs to whoever takes it out of
// acks.waiting; that one alone may send to done.
type ack struct {
	id    uint64
	topic string
	done  chan error // has room for one
	timer *time.Timer
}

// freeAcks spares a channel and a timer per message.
var freeAcks = sync.Pool{New: func() any {
	a := &ack{done: make(chan error, 1), timer: time.NewTimer(time.Hour)}
	a.timer.Stop()
	return a
}}

func newAcks(conn *nats.Conn) (*acks, error) {
	a := &acks{conn: conn, prefix: conn.NewInbox() + ".", waiting: make(map[uint64]*ack)}
	sub, err := conn.Subscribe(a.prefix+"*", a.receive)
	if err != nil {
		return nil, err
	}
	return a, sub.SetPendingLimits(-1, -1) // the publish window bounds them
}

// send writes a message for the connection to send.
func (a *acks) send(m *nats.Msg) (*ack, error) {
	w := freeAcks.Get().(*ack) //nolint:forcetypeassert // the pool holds nothing else
	w.topic = m.Subject
	a.mu.Lock()
	a.last++
	w.id = a.last
	a.waiting[w.id] = w
	a.mu.Unlock()
	m.Reply = a.prefix + strconv.FormatUint(w.id, 36)
	if err := a.conn.PublishMsg(m); err != nil {
		if a.take(w.id) == nil {
			<-w.done //nolint:errcheck // it was given up meanwhile, and err says more
		}
		freeAcks.Put(w)
		return nil, unsent(err)
	}
	return w, nil
}

// take takes a message out of those that wait, or returns nil if somebody else
// did.
func (a *acks) take(id uint64) *ack {
	a.mu.Lock()
	defer a.mu.Unlock()
	w := a.waiting[id]
	delete(a.waiting, id)
	return w
}

// await returns what became of a message. It must be called once.
func (a *acks) await(ctx context.Context, w *ack, closed <-chan struct{}) error {
	defer freeAcks.Put(w)
	w.timer.Reset(confirmTimeout)
	defer w.timer.Stop()
	var err error
	select {
	case err := <-w.done:
		return err
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-closed:
		err = errNoConfirmation
	case <-w.timer.C:
		err = errNoConfirmation
	}
	if a.take(w.id) == nil {
		return <-w.done // its confirmation came at the same moment
	}
	return err
}

// receive handles a confirmation.
func (a *acks) receive(m *nats.Msg) {
	id, err := strconv.ParseUint(m.Subject[len(a.prefix):], 36, 64)
	if err != nil {
		return
	}
	if w := a.take(id); w != nil {
		w.done <- verdict(m)
	}
}

// fail gives up on all messages that wait, because the connection is lost.
func (a *acks) fail(lost error) {
	err := fmt.Errorf("%w: %w", errNoConfirmation, lost)
	a.giveUp(err, func(string) bool { return true })
}

// refuse tells those that publish to a topic that they may not: the server says
// so beside the messages' own answers, which never come.
func (a *acks) refuse(violation error) {
	text := violation.Error()
	a.giveUp(broker.Rejected(violation), func(topic string) bool {
		return strings.Contains(text, strconv.Quote(topic))
	})
}

func (a *acks) giveUp(err error, which func(topic string) bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for id, w := range a.waiting {
		if which(w.topic) {
			delete(a.waiting, id)
			w.done <- err
		}
	}
}

// verdict reads a confirmation.
func verdict(m *nats.Msg) error {
	if len(m.Data) == 0 && m.Header.Get("Status") == "503" {
		return broker.NotDelivered(fmt.Errorf("%w: %w", broker.ErrNoSubscribers, jetstream.ErrNoStreamResponse))
	}
	if bytes.HasPrefix(m.Data, []byte(`{"stream":"`)) && !bytes.Contains(m.Data, []byte(`"error"`)) {
		return nil // a name cannot contain quotes
	}
	var answer struct {
		Error  *jetstream.APIError `json:"error"`
		Stream string              `json:"stream"`
	}
	switch err := json.Unmarshal(m.Data, &answer); {
	case err != nil:
		return fmt.Errorf("%w: %w", jetstream.ErrInvalidJSAck, err)
	case answer.Error != nil:
		return refusal(answer.Error)
	case answer.Stream == "":
		return jetstream.ErrInvalidJSAck
	}
	return nil
}
