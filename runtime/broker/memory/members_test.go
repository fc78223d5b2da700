package memorybroker_test

import (
	"testing"
	"testing/synctest"

	"github.com/micro-event/micro-event/runtime/broker"
	memorybroker "github.com/micro-event/micro-event/runtime/broker/memory"
)

// TestASecondMemberFindsKeysHeld opens it after the first, which was alone then,
// took messages of a key.
func TestASecondMemberFindsKeysHeld(t *testing.T) {
	d := memorybroker.NewDriver()
	first := open(t, d, "q")
	publish(t, d, "k", "1", "2", "3")
	publish(t, d, "", "none")
	held := receive(t, first, 2)
	second := open(t, d, "q")
	want(t, "the second member", ids(t, second, receive(t, second, 10)), "none")
	settle(t, first, broker.Ack, held...)
	want(t, "the second member, once the key is free", ids(t, second, receive(t, second, 10)), "3")
}

// TestTheOwnerOfAKeyIsCalled lets another member wait for longer, which is
// therefore woken first and cannot take the message.
func TestTheOwnerOfAKeyIsCalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := memorybroker.NewDriver()
		owner, other := open(t, d, "q"), open(t, d, "q")
		publish(t, d, "k", "1")
		held := receive(t, owner, 1)
		got := make(chan []string)
		next := func(s broker.Source) { got <- ids(t, s, receive(t, s, 1)) }
		go next(other)
		synctest.Wait()
		go next(owner)
		synctest.Wait()
		publish(t, d, "k", "2")
		want(t, "the owner", <-got, "2")
		settle(t, owner, broker.Ack, held...)
		publish(t, d, "", "none") // ends the other one
		want(t, "the other member", <-got, "none")
	})
}

// TestWhatTheWokenMemberLeavesGoesToTheNext publishes two messages while two
// members wait; the one that is woken first takes a message that was given back.
func TestWhatTheWokenMemberLeavesGoesToTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := memorybroker.NewDriver()
		holder := open(t, d, "q")
		publish(t, d, "", "1")
		held := receive(t, holder, 1)
		got := make(chan []string)
		for range 3 {
			go func() {
				s := open(t, d, "q")
				got <- ids(t, s, receive(t, s, 1))
			}()
		}
		synctest.Wait()
		settle(t, holder, broker.GiveBack, held...)
		publish(t, d, "", "2", "3")
		seen := map[string]bool{}
		for range 3 {
			seen[(<-got)[0]] = true
		}
		if len(seen) != 3 {
			t.Errorf("got %v, want each of the three messages once", seen)
		}
	})
}
