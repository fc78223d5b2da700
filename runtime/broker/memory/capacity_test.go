package memorybroker_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/micro-event/micro-event/runtime/broker"
	memorybroker "github.com/micro-event/micro-event/runtime/broker/memory"
)

func TestCapacityCountsWhatMembersHold(t *testing.T) {
	d := memorybroker.NewDriver()
	broker.New(d, memorybroker.Capacity(2)) // configures d
	s := open(t, d, "q")
	publish(t, d, "", "1", "2")
	held := receive(t, s, 2)
	noWait := func() error {
		return d.Publish(t.Context(), "t", &broker.Record{Body: []byte("3")}, broker.PublishOptions{NoWait: true})
	}
	if err := noWait(); !errors.Is(err, broker.ErrBackpressure) {
		t.Errorf("publish while two are held: got %v, want ErrBackpressure", err)
	}
	settle(t, s, broker.GiveBack, held[0])
	if err := noWait(); !errors.Is(err, broker.ErrBackpressure) {
		t.Errorf("publish while one is held and one waits: got %v, want ErrBackpressure", err)
	}
	settle(t, s, broker.Reject, held[1])
	must(t, noWait())
}

// TestTheFullestQueueHoldsUpPublish needs room in every queue, so that none
// gets a message that another one does not.
func TestTheFullestQueueHoldsUpPublish(t *testing.T) {
	d := memorybroker.NewDriver()
	broker.New(d, memorybroker.Capacity(1))
	first, second := open(t, d, "q1"), open(t, d, "q2")
	publish(t, d, "", "1")
	settle(t, first, broker.Ack, receive(t, first, 1)...)
	err := d.Publish(t.Context(), "t", &broker.Record{}, broker.PublishOptions{NoWait: true})
	if !errors.Is(err, broker.ErrBackpressure) {
		t.Errorf("publish: got %v, want ErrBackpressure", err)
	}
	settle(t, second, broker.Ack, receive(t, second, 1)...)
	publish(t, d, "", "2")
	want(t, "the first queue", ids(t, first, receive(t, first, 2)), "2")
}

func TestWaitingPublishesAreServedInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := memorybroker.NewDriver()
		broker.New(d, memorybroker.Capacity(1))
		s := open(t, d, "q")
		publish(t, d, "", "0")
		for i := range 5 {
			go publish(t, d, "", fmt.Sprint(i+1))
			synctest.Wait() // it waits for room, behind the others
		}
		for i := range 6 {
			held := receive(t, s, 10)
			want(t, "next", ids(t, s, held), fmt.Sprint(i))
			settle(t, s, broker.Ack, held...)
			synctest.Wait()
		}
	})
}

func TestAWithdrawnPublishIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := memorybroker.NewDriver()
		broker.New(d, memorybroker.Capacity(1))
		s := open(t, d, "q")
		publish(t, d, "", "first")
		go func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			err := d.Publish(ctx, "t", &broker.Record{Body: []byte("withdrawn")}, broker.PublishOptions{})
			if !errors.Is(err, broker.ErrNotDelivered) || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("publish: got %v, want ErrNotDelivered and DeadlineExceeded", err)
			}
		}()
		synctest.Wait()
		go publish(t, d, "", "second")
		time.Sleep(2 * time.Minute)
		for _, id := range []string{"first", "second"} {
			held := receive(t, s, 10)
			want(t, "next", ids(t, s, held), id)
			settle(t, s, broker.Ack, held...)
			synctest.Wait()
		}
	})
}

func TestCloseEndsWaitingPublishes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := memorybroker.NewDriver()
		broker.New(d, memorybroker.Capacity(1))
		s := open(t, d, "q")
		publish(t, d, "", "first")
		go func() {
			err := d.Publish(t.Context(), "t", &broker.Record{Body: []byte("cut")}, broker.PublishOptions{})
			if !errors.Is(err, broker.ErrClosed) {
				t.Errorf("publish: got %v, want ErrClosed", err)
			}
		}()
		synctest.Wait()
		must(t, d.Close(t.Context()))
		synctest.Wait()
		must(t, d.Connect(t.Context()))
		settle(t, s, broker.Ack, receive(t, s, 10)...)
		publish(t, d, "", "after")
		want(t, "after Close", ids(t, s, receive(t, s, 10)), "after")
	})
}

func TestTheEndOfABroadcastMakesRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := memorybroker.NewDriver()
		broker.New(d, memorybroker.Capacity(1))
		queue, own := open(t, d, "q"), open(t, d, "")
		publish(t, d, "", "1")
		settle(t, queue, broker.Ack, receive(t, queue, 1)...)
		go publish(t, d, "", "2")
		synctest.Wait() // it waits for room in the broadcast's queue
		must(t, own.Stop(t.Context()))
		must(t, own.Close(t.Context()))
		want(t, "the queue", ids(t, queue, receive(t, queue, 1)), "2")
	})
}

func TestTheEndOfTheLastBroadcastEndsWaitingPublishes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := memorybroker.NewDriver()
		broker.New(d, memorybroker.Capacity(1))
		own := open(t, d, "")
		publish(t, d, "", "1")
		go func() {
			err := d.Publish(t.Context(), "t", &broker.Record{Body: []byte("2")}, broker.PublishOptions{})
			if !errors.Is(err, broker.ErrNoSubscribers) {
				t.Errorf("publish: got %v, want ErrNoSubscribers", err)
			}
		}()
		synctest.Wait()
		must(t, own.Stop(t.Context()))
		must(t, own.Close(t.Context()))
	})
}
