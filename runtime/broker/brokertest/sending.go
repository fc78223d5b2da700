package brokertest

import (
	"errors"
	"fmt"

	"github.com/micro-event/micro-event/runtime/broker"
)

// message returns a message whose body is its id.
func message(key, id string) *broker.Message {
	return &broker.Message{Key: key, Body: []byte(id)}
}

// series returns n messages of one key and their ids, numbered from 0. Without
// a key the ids begin with "m".
func series(key string, n int) ([]*broker.Message, []string) {
	name := key
	if name == "" {
		name = "m"
	}
	ms, ids := make([]*broker.Message, n), make([]string, n)
	for i := range n {
		ids[i] = fmt.Sprintf("%s-%04d", name, i)
		ms[i] = message(key, ids[i])
	}
	return ms, ids
}

// publish publishes messages one after the other and returns when all were
// accepted. Where Publish waits for handlers it does so in the background, in
// order for each key, and messages that are given up may be rejected.
func (e *env) publish(b broker.Broker, topic string, ms ...*broker.Message) {
	e.Helper()
	if !e.PublishWaits {
		for _, m := range ms {
			e.must("publish", b.Publish(e.within(e.Deadline), topic, m))
		}
		return
	}
	for _, m := range ms {
		before, done := e.lane(topic, m.Key)
		e.background.Go(func() {
			defer close(done)
			select {
			case <-before:
				e.publishBehind(b, topic, []*broker.Message{m})
			case <-e.Context().Done():
			}
		})
	}
}

// lane returns when the next message of a key may be published, and what to close
// when it was.
func (e *env) lane(topic, key string) (before <-chan struct{}, done chan struct{}) {
	done = make(chan struct{})
	lane := topic + " " + key
	before, ok := e.lanes[lane]
	if !ok || key == "" {
		now := make(chan struct{})
		close(now)
		before = now
	}
	e.lanes[lane] = done
	return before, done
}

func (e *env) publishBehind(b broker.Broker, topic string, ms []*broker.Message) {
	for _, m := range ms {
		err := b.Publish(e.Context(), topic, m)
		switch {
		case e.Context().Err() != nil:
			return // the test is over
		case err != nil && !errors.Is(err, broker.ErrRejected):
			e.Errorf("publish: %v", err)
		}
	}
}

// fence publishes a message and waits until all the inboxes have handled it:
// what was published before it with its key has been given out by then. Without
// a key that is so for brokers that keep the order of messages without one.
func (e *env) fence(b broker.Broker, topic, key string, inboxes ...*inbox) {
	e.Helper()
	id := fmt.Sprint(fencePrefix, e.fences.Add(1))
	e.publish(b, topic, message(key, id))
	for _, in := range inboxes {
		in.await("the fence "+id+" of key "+key, func() bool { return in.fences[id] })
	}
}

// checkRefusal fails unless err is a PublishError about topic with exactly this
// outcome, and with this cause.
func (e *env) checkRefusal(topic string, err, outcome, cause error) {
	e.Helper()
	p, ok := errors.AsType[*broker.PublishError](err)
	switch {
	case !ok:
		e.Errorf("got error %v (%T), want a *broker.PublishError", err, err)
		return
	case p.Topic != topic:
		e.Errorf("PublishError.Topic: got %q, want %q", p.Topic, topic)
	}
	for _, o := range []error{broker.ErrNotDelivered, broker.ErrUncertain, broker.ErrRejected} {
		//nolint:errorlint // the sentinels themselves are compared
		if got, want := errors.Is(err, o), o == outcome; got != want {
			e.Errorf("errors.Is(%v, %v): got %v, want %v", err, o, got, want)
		}
	}
	if cause != nil && !errors.Is(err, cause) {
		e.Errorf("got error %v, want one that wraps %v", err, cause)
	}
}

// isNotDelivered reports whether a publish certainly failed.
func isNotDelivered(err error) bool {
	return errors.Is(err, broker.ErrNotDelivered) || errors.Is(err, broker.ErrRejected)
}
