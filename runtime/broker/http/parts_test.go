package httpbroker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/micro-event/micro-event/runtime/broker"
)

func TestBreakerLetsOneTry(t *testing.T) {
	var h health
	now := time.Now()
	for range 2 {
		if !h.available(now) {
			t.Error("a member that is well is not available to all")
		}
	}
	h.fail(cut)
	if !h.available(now) {
		t.Error("not available after one cut connection")
	}
	h.fail(cut)
	if h.available(time.Now()) {
		t.Error("available right after two failures in a row")
	}
	at, mended := h.wait()
	if at.Before(now) || at.After(now.Add(2*highestBackoff)) {
		t.Errorf("to be tried at %v, now is %v", at, now)
	}
	later := at.Add(time.Millisecond)
	if first, second := h.available(later), h.available(later); !first || second {
		t.Error("after the wait not exactly one may try")
	}
	h.succeed()
	select {
	case <-mended:
	default:
		t.Error("those who wait are not told of a success")
	}
	if !h.available(later) {
		t.Error("not available after a success")
	}
	h.fail(full)
	h.fail(rejected)
	if !h.available(later) {
		t.Error("a full member, or one that rejects, is taken for broken")
	}
	h.fail(unsent)
	if h.available(time.Now()) {
		t.Error("available right after it could not be reached")
	}
}

func TestBackoffGrowsWithinItsBounds(t *testing.T) {
	for failures := range 20 {
		for range 100 {
			d := backoff(failures)
			if d < lowestBackoff/2 || d > highestBackoff*3/2 || failures > 10 && d < highestBackoff/2 {
				t.Fatalf("after %d failures: %v", failures, d)
			}
		}
	}
}

func TestRetryBudget(t *testing.T) {
	var b budget
	now := time.Now()
	n := 0
	for b.take(now) {
		n++
	}
	if n != budgetSize {
		t.Errorf("quick retries at once: got %d, want %d", n, budgetSize)
	}
	if b.take(now) || !b.take(now.Add(time.Second)) {
		t.Error("tokens do not come back with time")
	}
}

func TestTurnsComeInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var turns turns
		far := time.Now().Add(time.Hour)
		if _, err := turns.take(t.Context(), "k", far); err != nil {
			t.Fatal(err)
		}
		var got []int
		for i := range 5 {
			go func() {
				if _, err := turns.take(t.Context(), "k", far); err != nil {
					t.Error(err)
				}
				got = append(got, i)
				turns.give("k")
			}()
			synctest.Wait() // it is in the line
		}
		withdrawn, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := turns.take(withdrawn, "k", far); !errors.Is(err, context.Canceled) {
			t.Errorf("take with a done context: got %v", err)
		}
		if _, err := turns.take(t.Context(), "k", time.Now().Add(time.Second)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("take until a deadline: got %v", err)
		}
		if _, err := turns.take(t.Context(), "other", far); err != nil {
			t.Errorf("another key: %v", err)
		}
		turns.give("k")
		synctest.Wait()
		if want := []int{0, 1, 2, 3, 4}; !slices.Equal(got, want) {
			t.Errorf("turns: got %v, want %v", got, want)
		}
		turns.give("other")
		if len(turns.keys) != 0 {
			t.Errorf("keys left: %v", turns.keys)
		}
	})
}

func TestDedupIsBoundedAndKeepsWhatRuns(t *testing.T) {
	const limit = 100
	d, h := newDedup(limit), newHasher()
	id := func(i int) identity {
		identity, ok := h.identity(&message{id: fmt.Sprint(i)})
		if !ok {
			t.Fatal("no identity")
		}
		return identity
	}
	running := id(-1)
	d.running[running] = new(delivery)
	for i := range 10 * limit {
		d.running[id(i)] = new(delivery)
		d.finish(id(i), uint64(i))
		for back := range min(i, limit) {
			if digest, ok := d.finished(id(i - back)); !ok || digest != uint64(i-back) {
				t.Fatalf("%d of the last %d is forgotten", back, limit)
			}
		}
	}
	if n := len(d.done.digests) + len(d.before.digests); n > 2*limit {
		t.Errorf("remembered: got %d, want at most %d", n, 2*limit)
	}
	if d.running[running] == nil || len(d.running) != 1 {
		t.Errorf("running: got %d, want the one that runs", len(d.running))
	}
	d.forget(running)
	if _, ok := d.finished(running); ok || len(d.running) != 0 {
		t.Error("what failed is remembered")
	}
}

// TestDedupKnowsAllThroughItsSieve: a generation that is large enough has one, and
// forgets nothing for it.
func TestDedupKnowsAllThroughItsSieve(t *testing.T) {
	const limit = 2 * sieveFrom
	d, h := newDedup(limit), newHasher()
	id := func(i int) identity {
		identity, _ := h.identity(&message{id: fmt.Sprint(i)})
		return identity
	}
	for i := range limit + 1 {
		d.finish(id(i), uint64(i))
	}
	if d.before.sieve == nil || d.done.sieve != nil {
		t.Errorf("sieves: got %t and %t, want one of the full generation only", d.before.sieve != nil, d.done.sieve != nil)
	}
	for i := range limit + 1 {
		if digest, ok := d.finished(id(i)); !ok || digest != uint64(i) {
			t.Fatalf("message %d is forgotten", i)
		}
	}
	passed := 0
	for i := range limit {
		if word, bit := d.before.place(id(-1 - i)); *word&bit != 0 {
			passed++
		}
		if _, ok := d.finished(id(-1 - i)); ok {
			t.Fatalf("a message that never came is known")
		}
	}
	if passed > limit/8 {
		t.Errorf("%d of %d new messages are looked for in the map", passed, limit)
	}
}

func TestIdentities(t *testing.T) {
	h := newHasher()
	of := func(id string, header ...broker.Field) identity {
		got, _ := h.identity(&message{id: id, record: broker.Record{Header: header}})
		return got
	}
	ce := func(source, id string) identity {
		return of("", broker.Field{Name: "ce-source", Value: source}, broker.Field{Name: "ce-id", Value: id})
	}
	first, again := ce("a", "1"), ce("a", "1")
	own, both := of("1"), of("1", broker.Field{Name: "ce-id", Value: "2"})
	if first != again || own != both {
		t.Error("the same messages have different identities")
	}
	all := []identity{ce("a", "1"), ce("b", "1"), ce("a", "2"), ce("a1", ""), of("1"), of("a1"), ce("", "a1x")}
	for i, a := range all {
		for _, b := range all[i+1:] {
			if a == b {
				t.Errorf("different messages have the same identity: %d", i)
			}
		}
	}
	if _, ok := h.identity(&message{}); ok {
		t.Error("a message without an id has an identity")
	}
}

func TestQuota(t *testing.T) {
	var q quota
	first := q.enter(60, 2, 100)
	if first == nil {
		t.Fatal("no room at first")
	}
	if q.enter(60, 2, 100) != nil {
		t.Error("more bytes than there may be")
	}
	second := q.enter(40, 2, 100)
	if second == nil || q.enter(0, 2, 100) != nil {
		t.Error("not exactly two requests at once")
	}
	first.hold() // by a message
	first.leave()
	second.leave()
	if q.bytes != 60 || q.requests != 0 {
		t.Errorf("got %d bytes and %d requests, want 60 that a message holds", q.bytes, q.requests)
	}
	first.release()
	if q.bytes != 0 {
		t.Errorf("%d bytes are left", q.bytes)
	}
	if q.enter(1000, 2, 100) == nil {
		t.Error("a request that is larger than all there may be does not fit even alone")
	}
}

// TestStatuses has what each status says about a message.
func TestStatuses(t *testing.T) {
	for status, want := range map[int]kind{
		200: done, 202: done, 301: failed, 307: failed, 400: rejected, 401: rejected, 403: rejected, 404: leaving, 408: failed,
		409: rejected, 411: rejected, 413: rejected, 415: rejected, 421: leaving, 422: rejected, 425: failed, 429: full,
		500: cut, 502: cut, 503: leaving, 504: cut,
	} {
		if got := verdictOf(result{status: status}).kind; got != want {
			t.Errorf("status %d: got kind %d, want %d", status, got, want)
		}
	}
}

// TestRankIsEvenAndStable spreads keys over members, and takes one away.
func TestRankIsEvenAndStable(t *testing.T) {
	members := []*endpoint{}
	for i := range 5 {
		members = append(members, &endpoint{entry: Entry{Instance: fmt.Sprint("member", i)}})
	}
	const keys = 10_000
	counts := make(map[*endpoint]int)
	for k := range keys {
		key := fmt.Sprint("order-", k)
		best := highest(members, key)
		counts[best]++
		if left := highest(members[1:], key); best != members[0] && left != best {
			t.Fatalf("key %q moved although its member stayed", key)
		}
	}
	for _, ep := range members {
		if n := counts[ep]; n < keys/5*9/10 || n > keys/5*11/10 {
			t.Errorf("%s has %d of %d keys", ep.entry.Instance, n, keys)
		}
	}
}
