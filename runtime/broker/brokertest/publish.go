package brokertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"

	"github.com/micro-event/micro-event/runtime/broker"
)

func publishTests() []test {
	return []test{
		{"P1_nil_means_accepted", (*env).nilMeansAccepted, []need{declares, returnsEarly}},
		{"P1_nil_outlives_the_publisher", (*env).nilOutlivesPublisher, []need{atLeastOnce}},
		{"P2_errors_say_what_became_of_the_message", (*env).errorsSayOutcome, nil},
		{"P2_before_connect_and_after_disconnect", (*env).publishUnconnected, nil},
		{"P2_nobody_subscribes", (*env).nobodySubscribes, nil},
		{"P2_a_refused_message_is_never_delivered", (*env).refusedNeverDelivered, nil},
		{"P3_a_done_context_returns_before_io", (*env).doneContext, nil},
		{"P4_the_message_is_not_changed", (*env).messageNotChanged, nil},
		{"P4_the_message_is_not_kept", (*env).messageNotKept, []need{returnsEarly}},
		{"P4_one_message_published_concurrently", (*env).messageShared, nil},
		{"P5_keys_reach_every_queue_in_order", (*env).keysInOrder, nil},
	}
}

func (e *env) nilMeansAccepted() {
	b, topic, queue := e.connect(), e.topic("t"), e.queue("q")
	e.declare(b, topic, queue)
	ms, ids := series("k", 20)
	e.publish(b, topic, ms...)
	in := e.inbox(nil)
	e.subscribe(e.connect(), topic, in, broker.Queue(queue))
	in.wantOrder(ids...)
}

// nilOutlivesPublisher disconnects right after the last Publish: what was
// accepted must not depend on the connection that sent it.
func (e *env) nilOutlivesPublisher() {
	topic, in := e.topic("t"), e.inbox(nil)
	e.subscribe(e.connect(), topic, in, broker.Queue(e.queue("q")))
	var all []string
	for i := range 3 {
		publisher := e.connect()
		ms, ids := series(fmt.Sprint("publisher", i), 10)
		for _, m := range ms {
			e.must("publish", publisher.Publish(e.within(e.Deadline), topic, m))
		}
		e.must("disconnect", publisher.Disconnect(e.within(e.Deadline)))
		all = append(all, ids...)
	}
	in.wantHandled(all...)
}

// refusal is a Publish that every broker refuses in the same way.
type refusal struct {
	topic   string
	message *broker.Message
	cause   error
}

func (e *env) refusals(valid string) map[string]refusal {
	many := make(broker.Header)
	for i := range broker.MaxHeaderEntries + 1 {
		many[fmt.Sprint("h", i)] = ""
	}
	long := func(n int) string { return string(bytes.Repeat([]byte("x"), n)) }
	header := func(h broker.Header) refusal {
		return refusal{valid, &broker.Message{Header: h}, broker.ErrInvalidHeader}
	}
	all := map[string]refusal{
		"body too large":        {valid, &broker.Message{Body: make([]byte, refusalLimit+1)}, broker.ErrTooLarge},
		"message is nil":        {valid, nil, nil},
		"key too long":          {valid, message(long(broker.MaxKeyBytes+1), "x"), broker.ErrInvalidHeader},
		"key not UTF-8":         {valid, message("\xff", "x"), broker.ErrInvalidHeader},
		"name empty":            header(broker.Header{"": "v"}),
		"name too long":         header(broker.Header{long(broker.MaxHeaderNameBytes + 1): "v"}),
		"name not UTF-8":        header(broker.Header{"a\xff": "v"}),
		"value too long":        header(broker.Header{"a": long(broker.MaxHeaderValueBytes + 1)}),
		"value not UTF-8":       header(broker.Header{"a": "\xff"}),
		"too many headers":      header(many),
		"too many header bytes": header(broker.Header{"a": long(30 << 10), "b": long(30 << 10), "c": long(5 << 10)}),
	}
	for _, topic := range []string{
		"", ".", "a.", ".a", "a..b", "a b", "a/b", "a*", "a.>", "a.#", "a+", "ä", "a\x00", "a\r\nb", "$SYS", long(broker.MaxTopicBytes + 1),
	} {
		all[fmt.Sprintf("topic %.20q", topic)] = refusal{topic, message("", "x"), broker.ErrInvalidTopic}
	}
	return all
}

// refusalLimit is the MaxMessageBytes of brokers that are given refusals.
const refusalLimit = 1 << 10

func (e *env) errorsSayOutcome() {
	b, valid := e.connect(broker.MaxMessageBytes(refusalLimit)), e.topic("t")
	for name, r := range e.refusals(valid) {
		err := b.Publish(e.within(e.Deadline), r.topic, r.message)
		if err == nil {
			e.Errorf("%s: got nil, want an error", name)
			continue
		}
		e.checkRefusal(r.topic, err, broker.ErrRejected, r.cause)
	}
}

func (e *env) publishUnconnected() {
	b, topic := e.open(), e.topic("t")
	err := b.Publish(e.within(e.Deadline), topic, message("", "x"))
	e.checkRefusal(topic, err, broker.ErrNotDelivered, broker.ErrNotConnected)
	if _, err := b.Subscribe(e.within(e.Deadline), topic, e.inbox(nil).handle); !errors.Is(err, broker.ErrNotConnected) {
		e.Errorf("subscribe before Connect: got %v, want ErrNotConnected", err)
	}
	e.must("connect", b.Connect(e.within(e.Deadline)))
	e.must("disconnect", b.Disconnect(e.within(e.Deadline)))
	err = b.Publish(e.within(e.Deadline), topic, message("", "x"))
	e.checkRefusal(topic, err, broker.ErrNotDelivered, broker.ErrClosed)
	if _, err := b.Subscribe(e.within(e.Deadline), topic, e.inbox(nil).handle); !errors.Is(err, broker.ErrClosed) {
		e.Errorf("subscribe after Disconnect: got %v, want ErrClosed", err)
	}
}

func (e *env) nobodySubscribes() {
	b, topic := e.connect(), e.topic("t")
	e.must("publish with AllowNoSubscribers",
		b.Publish(e.within(e.Deadline), topic, message("", "x"), broker.AllowNoSubscribers()))
	if knows(e.suite) != "" {
		return
	}
	err := b.Publish(e.within(e.Deadline), topic, message("", "x"))
	e.checkRefusal(topic, err, broker.ErrNotDelivered, broker.ErrNoSubscribers)
	in := e.inbox(nil)
	e.subscribe(b, topic, in, broker.Queue(e.queue("q")))
	e.fence(b, topic, "", in)
	in.wantAbsent("its Publish had failed", "x")
}

func (e *env) refusedNeverDelivered() {
	b, topic, in := e.connect(broker.MaxMessageBytes(refusalLimit)), e.topic("t"), e.inbox(nil)
	e.subscribe(e.connect(), topic, in, broker.Queue(e.queue("q")))
	for _, r := range e.refusals(topic) {
		if r.topic == topic && b.Publish(e.within(e.Deadline), topic, r.message) == nil {
			e.Errorf("got nil, want an error that matches %v", r.cause)
		}
	}
	e.fence(b, topic, "", in)
	if n := len(in.snapshot()); n > 0 {
		e.Errorf("%d refused messages were delivered: %s", n, in.describe())
	}
}

func (e *env) doneContext() {
	b, topic, in := e.connect(), e.topic("t"), e.inbox(nil)
	e.subscribe(b, topic, in, broker.Queue(e.queue("q")))
	ctx, cancel := context.WithCancel(e.Context())
	cancel()
	err := b.Publish(ctx, topic, message("k", "done"))
	e.checkRefusal(topic, err, broker.ErrNotDelivered, context.Canceled)
	e.fence(b, topic, "k", in)
	in.wantAbsent("the context of its Publish was done", "done")
}

func (e *env) messageNotChanged() {
	b, topic, in := e.connect(), e.topic("t"), e.inbox(failTimes(1))
	e.subscribe(b, topic, in, broker.Queue(e.queue("q")))
	m := &broker.Message{Key: "k", Header: awkwardHeaders(), Body: []byte("unchanged")}
	want := m.Clone()
	e.must("publish", b.Publish(e.within(e.Deadline), topic, m))
	e.checkSame("the published message", *m, want)
	in.awaitHandled(1)
	e.checkSame("the published message, after it was handled", *m, want)
}

// messageNotKept changes a message that waits behind another one of its key.
func (e *env) messageNotKept() {
	b, topic, g := e.connect(), e.topic("t"), e.gate()
	in := e.inbox(g.hold("first"))
	e.subscribe(e.connect(), topic, in, broker.Queue(e.queue("q")))
	e.publish(b, topic, message("k", "first"))
	in.awaitCalls(1)
	m := &broker.Message{Key: "k", Header: broker.Header{"name": "value"}, Body: []byte("second")}
	want := m.Clone()
	e.publish(b, topic, m)
	m.Key, m.Header["name"], m.Header["other"] = "changed", "changed", "added"
	copy(m.Body, "XXXXXX")
	g.release()
	in.awaitHandled(2)
	e.checkSame("the message behind", in.snapshot()[1].message, want)
}

func (e *env) messageShared() {
	b, topic, in := e.connect(), e.topic("t"), e.inbox(nil)
	e.subscribe(b, topic, in, broker.Queue(e.queue("q")), broker.MaxInFlight(8))
	m := &broker.Message{Key: "k", Header: awkwardHeaders(), Body: []byte("shared")}
	delete(m.Header, "ce-id") // two messages of one id may be one to the broker
	const n = 64
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			if err := b.Publish(e.Context(), topic, m); err != nil {
				e.Errorf("publish: %v", err)
			}
		})
	}
	wg.Wait()
	in.awaitHandled(n)
	for _, c := range in.snapshot() {
		e.checkSame("a copy", c.message, *m)
	}
}

func (e *env) keysInOrder() {
	b, topic := e.connect(), e.topic("t")
	inboxes := []*inbox{e.inbox(nil), e.inbox(nil), e.inbox(nil)}
	for i, in := range inboxes[:2] {
		e.subscribe(e.connect(), topic, in, broker.Queue(e.queue(fmt.Sprint("q", i))), broker.MaxInFlight(1+7*i))
	}
	e.subscribe(b, topic, inboxes[2])
	const keys, each = 4, 50
	for k := range keys {
		ms, _ := series(fmt.Sprint("key", k), each)
		e.publish(b, topic, ms...)
	}
	for _, in := range inboxes {
		in.awaitHandled(keys * each)
		in.checkKeyOrder(keys * each)
	}
}

// checkSame compares a message with what it should be. A header or body of
// length 0 is the same as none.
func (e *env) checkSame(what string, got, want broker.Message) {
	e.Helper()
	if got.Key != want.Key {
		e.Errorf("%s: got key %q, want %q", what, got.Key, want.Key)
	}
	if !maps.Equal(got.Header, want.Header) {
		e.Errorf("%s: headers differ:%s", what, diff(got.Header, want.Header))
	}
	if !bytes.Equal(got.Body, want.Body) {
		e.Errorf("%s: got a body of %d bytes %.40q, want %d bytes %.40q", what, len(got.Body), got.Body, len(want.Body), want.Body)
	}
}
