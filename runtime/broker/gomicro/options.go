package gomicrobroker

import (
	"time"

	"github.com/micro-event/micro-event/runtime/broker"
)

// DefaultTimeout is how long a call of go-micro waits, which has no context.
const DefaultTimeout = 30 * time.Second

// queues is an option as the driver gets it.
type queues bool

// Queues says whether a broker given to [FromGoMicro] honours queue names. Where
// it does not, Subscribe with a queue is [broker.ErrUnsupported]. Default: yes,
// but for go-micro's memory broker, which ignores them.
func Queues(honoured bool) broker.Option { return broker.DriverOption(queues(honoured)) }

// Option sets an option of [ToGoMicro].
type Option interface{ apply(*Broker) }

type option func(*Broker)

func (f option) apply(b *Broker) { f(b) }

// Timeout bounds the calls that go-micro makes without a deadline: Connect,
// Disconnect, Subscribe, Unsubscribe and Publish. More than 0. Default
// [DefaultTimeout].
func Timeout(d time.Duration) Option { return option(func(b *Broker) { b.timeout = d }) }

// SubscribeWith adds options to each subscription that go-micro makes, such as
// [broker.MaxAttempts] with [broker.DeadLetter]. A queue that go-micro names
// wins. Default: none, so that a handler that fails is tried again without end.
func SubscribeWith(opts ...broker.SubscribeOption) Option {
	return option(func(b *Broker) { b.subscribe = append(b.subscribe, opts...) })
}
