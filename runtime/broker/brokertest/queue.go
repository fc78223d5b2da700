package brokertest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/micro-event/micro-event/runtime/broker"
)

func queueTests() []test {
	return []test{
		{"S2_members_share_a_queue", (*env).membersShare, nil},
		{"S2_three_queues_run_each_handler_once", (*env).threeQueues, nil},
		{"S2_without_a_queue_each_gets_a_copy", (*env).broadcast, nil},
		{"S2_a_queue_belongs_to_its_topic", (*env).queuePerTopic, nil},
		{"S2_a_blocked_queue_stops_no_other", (*env).blockedQueue, nil},
		{"S3_a_queue_outlives_its_members", (*env).queueOutlives, []need{outlives}},
		{"S3_a_queue_outlives_connections", (*env).queueOutlivesConnections, []need{outlives}},
		{"S3_a_declared_queue_keeps_messages", (*env).declaredQueue, []need{declares}},
		{"S3_a_broadcast_ends_with_its_subscription", (*env).broadcastEnds, []need{knows}},
	}
}

// membersShare lets three members of one queue share an inbox, two of them in
// one broker: it must have each message once.
func (e *env) membersShare() {
	topic, queue, b, in := e.topic("t"), e.queue("q"), e.connect(), e.inbox(nil)
	for _, member := range []broker.Broker{b, b, e.connect()} {
		e.subscribe(member, topic, in, broker.Queue(queue), broker.MaxInFlight(2))
	}
	const keys, each = 10, 12
	var all []string
	for k := range keys {
		ms, ids := series(fmt.Sprint("key", k), each)
		e.publish(b, topic, ms...)
		all = append(all, ids...)
	}
	in.wantHandled(all...)
	for k := range keys {
		e.fence(b, topic, fmt.Sprint("key", k), in)
	}
	in.wantHandled(all...)
}

func (e *env) threeQueues() {
	b, topic := e.connect(), e.topic("t")
	inboxes := []*inbox{e.inbox(nil), e.inbox(nil), e.inbox(nil)}
	for i, in := range inboxes {
		e.subscribe(b, topic, in, broker.Queue(e.queue(fmt.Sprint("q", i))))
	}
	ms, ids := series("k", 20)
	e.publish(b, topic, ms...)
	for _, in := range inboxes {
		in.wantOrder(ids...)
	}
	e.fence(b, topic, "k", inboxes...)
	for _, in := range inboxes {
		in.wantOrder(ids...)
	}
}

func (e *env) broadcast() {
	b, topic := e.connect(), e.topic("t")
	inboxes := []*inbox{e.inbox(nil), e.inbox(nil), e.inbox(nil), e.inbox(nil)}
	e.subscribe(b, topic, inboxes[0])
	e.subscribe(b, topic, inboxes[1])
	e.subscribe(e.connect(), topic, inboxes[2])
	e.subscribe(e.connect(), topic, inboxes[3], broker.Queue(e.queue("q")))
	ms, ids := series("k", 20)
	e.publish(b, topic, ms...)
	e.fence(b, topic, "k", inboxes...)
	for _, in := range inboxes {
		in.wantOrder(ids...)
	}
}

// queuePerTopic uses one queue name on two topics. Objects of a transport that
// are named after the queue alone would mix them up.
func (e *env) queuePerTopic() {
	b, queue := e.connect(), e.queue("q")
	topics := []string{e.topic("one"), e.topic("two")}
	slow := func(ctx context.Context, _ call) error { return pause(ctx, time.Millisecond) }
	inboxes := []*inbox{e.inbox(slow), e.inbox(slow)}
	for i, topic := range topics {
		e.subscribe(b, topic, inboxes[i], broker.Queue(queue))
	}
	want := make([][]string, len(topics))
	for i, topic := range topics {
		for n := range 20 {
			id := fmt.Sprint("topic", i, "-", n)
			e.publish(b, topic, message(id, id))
			want[i] = append(want[i], id)
		}
	}
	for i, ids := range want {
		inboxes[i].wantHandled(ids...)
	}
}

func (e *env) blockedQueue() {
	b, topic, g := e.connect(), e.topic("t"), e.gate()
	blocked, other := e.inbox(g.hold()), e.inbox(nil)
	e.subscribe(b, topic, blocked, broker.Queue(e.queue("blocked")))
	e.subscribe(b, topic, other, broker.Queue(e.queue("other")))
	ms, ids := series("", 20)
	e.publish(b, topic, ms[0])
	blocked.awaitCalls(1)
	e.publish(b, topic, ms[1:]...)
	other.wantHandled(ids...)
	g.release()
	blocked.wantHandled(ids...)
}

func (e *env) queueOutlives() {
	b, topic, queue := e.connect(), e.topic("t"), e.queue("q")
	first, second := e.inbox(nil), e.inbox(nil)
	sub := e.subscribe(b, topic, first, broker.Queue(queue))
	e.fence(b, topic, "k", first)
	e.unsubscribe(sub)
	ms, ids := series("k", 20)
	e.publish(b, topic, ms...)
	e.subscribe(b, topic, second, broker.Queue(queue))
	second.wantOrder(ids...)
}

func (e *env) queueOutlivesConnections() {
	topic, queue, publisher := e.topic("t"), e.queue("q"), e.connect()
	member := e.connect()
	e.subscribe(member, topic, e.inbox(nil), broker.Queue(queue))
	e.must("disconnect", member.Disconnect(e.within(e.Deadline)))
	ms, ids := series("k", 20)
	e.publish(publisher, topic, ms...)
	in := e.inbox(nil)
	e.subscribe(e.connect(), topic, in, broker.Queue(queue))
	in.wantOrder(ids...)
}

func (e *env) declaredQueue() {
	b, topic, queue := e.connect(), e.topic("t"), e.queue("q")
	e.declare(b, topic, queue)
	e.declare(e.connect(), topic, queue)
	ms, ids := series("k", 10)
	e.publish(b, topic, ms...)
	e.declare(b, topic, queue) // it keeps what it holds
	in := e.inbox(nil)
	e.subscribe(b, topic, in, broker.Queue(queue))
	in.wantOrder(ids...)
	d := ability[interface {
		DeclareQueue(ctx context.Context, topic, queue string) error
	}](e, b, "DeclareQueue")
	for _, names := range [][2]string{{"a..b", queue}, {topic, "a b"}, {topic, ""}} {
		if err := d.DeclareQueue(e.within(e.Deadline), names[0], names[1]); !errors.Is(err, broker.ErrInvalidTopic) {
			e.Errorf("DeclareQueue(%q, %q): got %v, want ErrInvalidTopic", names[0], names[1], err)
		}
	}
}

func (e *env) broadcastEnds() {
	b, topic, in := e.connect(), e.topic("t"), e.inbox(nil)
	sub := e.subscribe(b, topic, in)
	e.fence(b, topic, "", in)
	e.unsubscribe(sub)
	err := b.Publish(e.within(e.Deadline), topic, message("", "late"))
	e.checkRefusal(topic, err, broker.ErrNotDelivered, broker.ErrNoSubscribers)
}
