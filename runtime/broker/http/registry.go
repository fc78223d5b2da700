package httpbroker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/micro-event/micro-event/runtime/broker"
)

// Times to live in a registry.
const (
	// MemberTTL is how long a member stays registered after its last sign of
	// life. Members renew it every third of that.
	MemberTTL = 15 * time.Second

	// QueueTTL is how long a queue stays known after its last member was. Publish
	// waits for a member of a queue that is known.
	QueueTTL = time.Hour
)

// Registry knows who subscribes to what. Publishers take what it says for a
// hint: they check addresses, and a member that is not what it was registered
// as answers so.
//
// Its methods may be called concurrently, and their contexts bound the call.
type Registry interface {
	// Register announces an entry for ttl, or renews it.
	Register(ctx context.Context, e Entry, ttl time.Duration) error

	// Deregister withdraws an entry. That of its queue stays.
	Deregister(ctx context.Context, e Entry) error

	// Lookup returns what is known about a topic; a view without entries when that
	// is nothing. It is called for every Publish and should return the same view
	// until something changes. An entry that was registered before the call began
	// must be in it.
	Lookup(ctx context.Context, topic string) (*View, error)

	// Watch returns nil when Lookup may return something else than seen, and an
	// error when ctx ends.
	Watch(ctx context.Context, topic string, seen *View) error
}

// Entry is a member of a queue, a subscription without a queue, or with an empty
// Address a queue that is to be known whether it has members or not.
type Entry struct {
	// Topic and Queue are what is subscribed to; Queue is empty for a subscription
	// that gets its own copies.
	Topic, Queue string

	// Instance names the subscription, and no other one ever. It may be empty
	// where the registry cannot know it, but not without a queue.
	Instance string

	// Address is host:port.
	Address string
}

// View is what a registry knows about one topic. Nobody may change it.
type View struct{ Entries []Entry }

// errEntry is wrapped by the errors of check.
var errEntry = errors.New("invalid registry entry")

// check reports what is wrong with an entry that came from a registry.
func (e Entry) check() error {
	if err := broker.CheckTopic(e.Topic); err != nil {
		return fmt.Errorf("%w: topic: %w", errEntry, err)
	}
	if e.Queue != "" {
		if err := broker.CheckTopic(e.Queue); err != nil {
			return fmt.Errorf("%w: queue: %w", errEntry, err)
		}
	}
	if e.Instance != "" {
		if err := broker.CheckTopic(e.Instance); err != nil {
			return fmt.Errorf("%w: instance: %w", errEntry, err)
		}
	}
	switch {
	case e.Address == "" && (e.Queue == "" || e.Instance != ""):
		return fmt.Errorf("%w: no address", errEntry)
	case e.Queue == "" && e.Instance == "":
		return fmt.Errorf("%w: neither queue nor instance", errEntry)
	case e.Address == "":
		return nil
	}
	return checkAddress(e.Address)
}

// checkAddress wants host:port, and nothing that a URL could take for more.
func checkAddress(address string) error {
	i := strings.LastIndexByte(address, ':')
	if i <= 0 || len(address) > 260 {
		return fmt.Errorf("%w: address is not host:port", errEntry)
	}
	host, port := address[:i], address[i+1:]
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 || port != strconv.FormatUint(n, 10) {
		return fmt.Errorf("%w: port of the address", errEntry)
	}
	if inner, ok := strings.CutPrefix(host, "["); ok {
		inner, ok = strings.CutSuffix(inner, "]")
		ip, err := netip.ParseAddr(inner)
		if !ok || err != nil || !ip.Is6() || ip.Zone() != "" {
			return fmt.Errorf("%w: host of the address", errEntry)
		}
		return nil
	}
	if broker.CheckTopic(host) != nil { // its grammar is wider than that of host names only by "_"
		return fmt.Errorf("%w: host of the address", errEntry)
	}
	return nil
}

// member reports whether e is more than a queue.
func (e Entry) member() bool { return e.Address != "" }

func compareEntries(a, b Entry) int {
	return cmp.Or(strings.Compare(a.Topic, b.Topic), strings.Compare(a.Queue, b.Queue),
		strings.Compare(a.Instance, b.Instance), strings.Compare(a.Address, b.Address))
}

// newView returns a view of entries in an order that depends on nothing else.
func newView(entries []Entry) *View {
	slices.SortFunc(entries, compareEntries)
	return &View{Entries: slices.Compact(entries)}
}

// same reports whether two views say the same.
func (v *View) same(other *View) bool { return v != nil && slices.Equal(v.Entries, other.Entries) }
