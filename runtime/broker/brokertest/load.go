package brokertest

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/micro-event/micro-event/runtime/broker"
)

func loadTests() []test {
	return []test{
		{"P6_many_messages_from_64_publishers", (*env).manyPublishers, []need{atLeastOnce}},
		{"S4_many_keyed_messages_failing_in_between", (*env).manyKeyedFailing, []need{atLeastOnce}},
		{"S5_memory_stays_flat", (*env).memoryStaysFlat, []need{outOfProcess}},
	}
}

// manyPublishers publishes from 64 goroutines, each with a key of its own, to a
// queue and to a subscription without one.
func (e *env) manyPublishers() {
	b, topic := e.connect(), e.topic("t")
	queue, own := e.inbox(nil), e.inbox(nil)
	e.subscribe(e.connect(), topic, queue, broker.Queue(e.queue("q")), broker.MaxInFlight(8))
	e.subscribe(b, topic, own)
	const publishers = 64
	each := (e.Messages + publishers - 1) / publishers
	var wg sync.WaitGroup
	for p := range publishers {
		ms, _ := series(fmt.Sprintf("publisher%02d", p), each)
		wg.Go(func() { e.publishBehind(b, topic, ms) })
	}
	wg.Wait()
	for _, in := range []*inbox{queue, own} {
		in.awaitHandled(publishers * each)
		in.checkKeyOrder(publishers * each)
		in.checkAttempts(func(string) int { return 0 })
	}
}

// manyKeyedFailing lets every fifth message fail once, with 8 in flight: no
// order violation, none lost, no attempt beyond the plan.
func (e *env) manyKeyedFailing() {
	b, topic := e.connect(), e.topic("t")
	const keys = 64
	plan := func(id string) int {
		if last := id[len(id)-1]; last == '0' || last == '5' {
			return 1
		}
		return 0
	}
	in := e.inbox(func(_ context.Context, c call) error {
		if c.attempt <= plan(c.id) {
			return errFailed
		}
		return nil
	})
	e.subscribe(b, topic, in, broker.Queue(e.queue("q")), broker.MaxInFlight(8), broker.Backoff(0, time.Millisecond))
	each := (e.Messages + keys - 1) / keys
	ms := make([]*broker.Message, 0, keys*each)
	for i := range each {
		for k := range keys {
			key := fmt.Sprintf("key%02d", k)
			ms = append(ms, message(key, fmt.Sprintf("%s-%06d", key, i)))
		}
	}
	e.publish(b, topic, ms...)
	in.awaitHandled(keys * each)
	in.checkKeyOrder(keys * each)
	in.checkAttempts(plan)
}

const (
	flatBody  = 16 << 10
	flatRound = 200     // messages, 3.2 MB of bodies
	flatGrows = 1 << 20 // bytes that the heap may grow by
)

// memoryStaysFlat publishes rounds of large messages, of which every fourth
// fails once, and compares the heap between rounds.
func (e *env) memoryStaysFlat() {
	b, topic := e.connect(), e.topic("t")
	handled := make(chan struct{}, flatRound)
	h := func(_ context.Context, d *broker.Delivery) error {
		if d.Attempt == 1 && d.Message.Body[0]%4 == 0 {
			return errFailed
		}
		handled <- struct{}{}
		return nil
	}
	_, err := b.Subscribe(e.within(e.Deadline), topic, h, broker.Queue(e.queue("q")),
		broker.MaxInFlight(4), broker.Backoff(0, time.Millisecond))
	e.must("subscribe", err)
	round := func() uint64 {
		var wg sync.WaitGroup
		for k := range 4 {
			wg.Go(func() { e.publishLarge(b, topic, fmt.Sprint("key", k), flatRound/4) })
		}
		for range flatRound {
			await(e, "a large message", handled)
		}
		wg.Wait()
		return liveHeap()
	}
	round()
	before := round()
	for range 4 {
		round()
	}
	if after := round(); after > before+flatGrows {
		e.Errorf("live heap after 5 more rounds of %d messages: got %d bytes, was %d", flatRound, after, before)
	}
}

func (e *env) publishLarge(b broker.Broker, topic, key string, n int) {
	for i := range n {
		m := &broker.Message{Key: key, Body: make([]byte, flatBody)}
		m.Body[0] = byte(i)
		if err := b.Publish(e.Context(), topic, m); err != nil {
			e.Errorf("publish: %v", err)
			return
		}
	}
}

func liveHeap() uint64 {
	runtime.GC()
	runtime.GC() // the second one finishes what the first one swept
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}
