package brokertest

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/micro-event/micro-event/runtime/broker"
)

// RunBenchmarks measures brokers, as sub-benchmarks of b whose operation is one
// message, from Publish to the end of its last handler. A run in which not
// exactly what was published was handled is void and fails.
//
// Of the features only Deadline and Skip, by the names of the benchmarks, are
// used. The broker logs nothing.
func RunBenchmarks(b *testing.B, newBroker NewBroker, f Features) {
	b.Helper()
	f = f.withDefaults(broker.Info{})
	for _, size := range []struct {
		name  string
		bytes int
	}{{"200B", 200}, {"64KiB", 64 << 10}} {
		for _, l := range loads() {
			name := l.name + "/" + size.name
			b.Run(name, func(b *testing.B) {
				if reason := f.skips(name); reason != "" {
					b.Skip(reason)
				}
				l.run(b, newBroker, f, size.bytes)
			})
		}
	}
}

// load is one way to use a broker.
type load struct {
	name       string
	publishers int
	keyed      bool // 16 keys per publisher
	inFlight   int
	queues     int
	lockstep   bool // a message is published when the one before was handled
}

func loads() []load {
	return []load{
		{name: "one_by_one", publishers: 1, inFlight: 1, queues: 1, lockstep: true},
		{name: "one_publisher", publishers: 1, inFlight: 1, queues: 1},
		{name: "64_publishers", publishers: 64, inFlight: 8, queues: 1},
		{name: "keyed_8_in_flight", publishers: 8, keyed: true, inFlight: 8, queues: 1},
		{name: "three_queues", publishers: 1, inFlight: 1, queues: 3},
	}
}

// meter counts what was handled.
type meter struct {
	want    int64
	handled atomic.Int64
	each    chan struct{} // one per handled message, in lockstep only
	done    chan struct{}
}

func (m *meter) handle(context.Context, *broker.Delivery) error {
	n := m.handled.Add(1)
	if m.each != nil {
		m.each <- struct{}{}
	}
	if n == m.want {
		close(m.done)
	}
	return nil
}

func (l load) run(b *testing.B, newBroker NewBroker, f Features, size int) {
	b.Helper()
	s := &suite{Features: f, newBroker: newBroker, runID: newRunID(), noLeaks: true}
	e := s.newEnv(b)
	br, topic := e.connect(), e.topic("bench")
	m := &meter{want: int64(b.N * l.queues), done: make(chan struct{})}
	if l.lockstep {
		m.each = make(chan struct{}, 1)
	}
	var subs []broker.Subscriber
	for q := range l.queues {
		sub, err := br.Subscribe(e.within(f.Deadline), topic, m.handle,
			broker.Queue(e.queue(fmt.Sprint("q", q))), broker.MaxInFlight(l.inFlight))
		e.must("subscribe", err)
		subs = append(subs, sub)
	}
	b.SetBytes(int64(size))
	b.ReportAllocs()
	b.ResetTimer()
	for p := range l.publishers {
		n := b.N / l.publishers
		if p < b.N%l.publishers {
			n++
		}
		e.background.Go(func() { l.publish(e, br, topic, p, n, size, m) })
	}
	select {
	case <-m.done:
		e.background.Wait() // the last Publish may still wait for its answer
	case <-time.After(f.Deadline + time.Duration(b.N)*time.Millisecond):
	}
	b.StopTimer()
	for _, sub := range subs {
		e.unsubscribe(sub)
	}
	if got := m.handled.Load(); got != m.want {
		b.Fatalf("void: handled %d, want %d", got, m.want)
	}
}

// publish publishes n messages. Each has as many headers as an event, but no id
// by which a broker could take them for one.
func (l load) publish(e *env, br broker.Broker, topic string, publisher, n, size int, meter *meter) {
	m := &broker.Message{Body: make([]byte, size), Header: broker.Header{
		"request": "0198c5f0-7d0c-7000-8000-000000000000", "ce-type": "shop.orders.v1.OrderCreated",
		"ce-source": "orders", "ce-time": "2026-01-02T03:04:05.678Z", "content-type": "application/protobuf",
	}}
	var keys []string
	if l.keyed {
		for k := range 16 {
			keys = append(keys, fmt.Sprintf("key-%d-%d", publisher, k))
		}
	}
	for i := range n {
		if l.keyed {
			m.Key = keys[i%len(keys)]
		}
		if err := br.Publish(e.Context(), topic, m); err != nil {
			e.Errorf("publish: %v", err)
			return
		}
		if l.lockstep {
			<-meter.each
		}
	}
}
