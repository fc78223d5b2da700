package brokertest

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/micro-event/micro-event/runtime/broker"
)

// DefaultDeadline is how long the suite waits for what must happen.
const DefaultDeadline = 10 * time.Second

// DefaultMessages is the size of the tests that are about many messages. With
// -short it is a tenth of that.
const DefaultMessages = 10_000

// TopicPrefix begins the name of every topic that the suite uses, for servers
// that must be told which topics there will be. The suite adds ".<run>.<test>.<name>".
const TopicPrefix = "brokertest"

// Features says about the brokers under test what cannot be known from their
// [broker.Info]. The zero value is a transport that needs nothing said.
type Features struct {
	// Info describes brokers that have no method Info, as those of [broker.New]
	// have. Default: what that method returns.
	Info *broker.Info

	// Deadline is how long to wait for what must happen. Generous is right: a
	// suite that passes never waits for it. Default [DefaultDeadline].
	Deadline time.Duration

	// Messages is how many messages the tests publish that are about many.
	// Default [DefaultMessages], with -short a tenth of it.
	Messages int

	// Capacity is how many unsettled messages a queue takes before Publish waits.
	// 0: no bound that a test could reach; the tests that need one are skipped.
	Capacity int

	// MaxBody is the largest body that is tried, in bytes. Default: the broker's
	// limit.
	MaxBody int

	// PublishWaits says that Publish returns only when the message was handled, or
	// given up, by every queue, as the HTTP broker does by default.
	PublishWaits bool

	// ServerInProcess says that a server keeps messages in the memory of the test
	// process, which then tells nothing about the memory of the broker.
	ServerInProcess bool

	// Interrupt cuts the connections of all brokers and returns a function that
	// lets them come back. Nil: the tests of line U4 that need it are skipped.
	Interrupt func(t testing.TB) (restore func())

	// Skip names tests, or whole lines such as "S5", that these brokers do not
	// keep, each with the reason. An unknown name fails.
	Skip map[string]string

	// IgnoreGoroutines are parts of stacks, such as the import path of a server in
	// the test process, whose goroutines are no leaks of the broker.
	IgnoreGoroutines []string
}

func (f Features) withDefaults(info broker.Info) Features {
	if f.Deadline == 0 {
		f.Deadline = DefaultDeadline
	}
	if f.Messages == 0 {
		f.Messages = DefaultMessages
		if testing.Short() {
			f.Messages /= 10
		}
	}
	if f.MaxBody == 0 {
		f.MaxBody = info.MaxMessageBytes
	}
	if f.MaxBody == 0 {
		f.MaxBody = broker.DefaultMaxMessageBytes
	}
	return f
}

// skips returns why a test is not to be run, or "".
func (f Features) skips(name string) string {
	if reason, ok := f.Skip[name]; ok {
		return reason
	}
	return f.Skip[line(name)]
}

// unknownSkips returns the names in Skip that no test or line has.
func (f Features) unknownSkips(tests []test) []string {
	known := make(map[string]bool)
	for _, c := range tests {
		known[c.name], known[line(c.name)] = true, true
	}
	var unknown []string
	for _, name := range slices.Sorted(maps.Keys(f.Skip)) {
		if !known[name] {
			unknown = append(unknown, name)
		}
	}
	return unknown
}

// line returns the line of the contract that a test is about.
func line(name string) string {
	l, _, _ := strings.Cut(name, "_")
	return l
}

// need is something that a test needs. It returns what is missing, or "".
type need func(*suite) string

func capability(name string, has func(broker.Capabilities) bool) need {
	return func(s *suite) string {
		if has(s.info.Capabilities) {
			return ""
		}
		return "capability " + name
	}
}

func feature(name string, has func(Features) bool) need {
	return func(s *suite) string {
		if has(s.Features) {
			return ""
		}
		return "Features." + name
	}
}

// The needs of the tests.
var (
	atLeastOnce   = capability("AtLeastOnce", func(c broker.Capabilities) bool { return c.AtLeastOnce })
	outlives      = capability("QueueOutlivesMembers", func(c broker.Capabilities) bool { return c.QueueOutlivesMembers })
	declares      = capability("DeclareQueue", func(c broker.Capabilities) bool { return c.DeclareQueue })
	keyOrder      = capability("KeyOrderAcrossMembers", func(c broker.Capabilities) bool { return c.KeyOrderAcrossMembers })
	persistent    = capability("PersistentAttempts", func(c broker.Capabilities) bool { return c.PersistentAttempts })
	deliveryCount = capability("DeliveryCount", func(c broker.Capabilities) bool { return c.DeliveryCount })
	knows         = capability("KnowsSubscribers", func(c broker.Capabilities) bool { return c.KnowsSubscribers })
	noWait        = capability("NoWait", func(c broker.Capabilities) bool { return c.NoWait })

	bounded       = feature("Capacity", func(f Features) bool { return f.Capacity > 0 })
	interruptible = feature("Interrupt", func(f Features) bool { return f.Interrupt != nil })
	outOfProcess  = feature("ServerInProcess to be false", func(f Features) bool { return !f.ServerInProcess })
	returnsLate   = feature("PublishWaits", func(f Features) bool { return f.PublishWaits })
	returnsEarly  = feature("PublishWaits to be false", func(f Features) bool { return !f.PublishWaits })
)

// ackClock needs a transport that delivers again soon enough to be waited for.
func ackClock(s *suite) string {
	switch wait := s.info.AckWait; {
	case wait == 0:
		return "an ack clock (Info.AckWait is 0)"
	case 5*wait > s.Deadline:
		return "a shorter Info.AckWait: five times it must fit into Features.Deadline"
	default:
		return ""
	}
}
