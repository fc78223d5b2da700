package rabbitmqbroker

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	amqp "github.com/rabbitmq/amqp091-go"
)

// lane is a channel of a source with its consumers. It is over when its channel is
// closed; delivery tags mean nothing after that.
type lane struct {
	session *session
	queue   string
	window  int
	channel *amqp.Channel

	asking    sync.Mutex   // held while consumers are added or cancelled
	consumers []string     // their tags
	capacity  atomic.Int64 // what they may hold together
	in        chan amqp.Delivery
	passing   sync.WaitGroup // from the consumers to in

	held atomic.Int64 // given to the engine and not settled

	arrived map[uint64]amqp.Delivery // not yet received, by tag
	next    uint64                   // the tag to be received

	once sync.Once
	gone chan struct{} // closed when it is over
}

func newLane(s *session, queue string, window int) *lane {
	return &lane{
		session: s, queue: queue, window: window, in: make(chan amqp.Delivery, 2*window),
		arrived: make(map[uint64]amqp.Delivery), next: 1, gone: make(chan struct{}),
	}
}

// open opens the channel with a consumer of n messages.
func (l *lane) open(ctx context.Context, n int) error {
	channel, err := l.session.consuming.Channel()
	if err != nil {
		return err
	}
	l.channel = channel
	closed := channel.NotifyClose(make(chan *amqp.Error, 1))
	cancelled := channel.NotifyCancel(make(chan string, 16))
	go func() {
		select {
		case <-closed: //nolint:errcheck // what is wrong shows when the lane is opened again
		case <-cancelled: // somebody has deleted the queue
		case <-l.session.gone:
		case <-l.gone: // perhaps nobody has waited for it to open
		}
		l.close()
		_ = l.session.ask(context.WithoutCancel(ctx), l.shut) //nolint:errcheck // it is closed, or the session ends
	}()
	return l.grow(n)
}

// close ends the lane, and the channel soon after.
func (l *lane) close() { l.once.Do(func() { close(l.gone) }) }

// shut closes the channel when nothing is asked on it any more: the client would take
// one answer for the other.
func (l *lane) shut() error {
	l.asking.Lock()
	defer l.asking.Unlock()
	return l.channel.Close()
}

func (l *lane) isGone() bool {
	select {
	case <-l.gone:
		return true
	case <-l.session.gone:
		return true
	default:
		return false
	}
}

// grow adds a consumer of n messages. The server counts for each on its own; all are
// on one channel, so that tags tell the order.
func (l *lane) grow(n int) error {
	l.asking.Lock()
	defer l.asking.Unlock()
	if err := l.channel.Qos(n, 0, false); err != nil {
		return err
	}
	tag := fmt.Sprintf("c%d", len(l.consumers))
	deliveries, err := l.channel.Consume(l.queue, tag, false, false, false, false, nil)
	if err != nil {
		return err
	}
	l.consumers = append(l.consumers, tag)
	l.capacity.Add(int64(n))
	l.passing.Go(func() {
		for m := range deliveries {
			select {
			case l.in <- m:
			case <-l.gone:
			}
		}
	})
	return nil
}

// growIfFull lets the server send more when the engine holds all that it may send and
// has room: what waits for retries must not hold up the rest.
func (l *lane) growIfFull(ctx context.Context) error {
	capacity := int(l.capacity.Load())
	n := min(capacity, l.window-capacity)
	if n <= 0 || int(l.held.Load()) < capacity {
		return nil
	}
	ctx = context.WithoutCancel(ctx) // a consumer that was asked for must be known
	return l.session.ask(ctx, func() error { return l.grow(n) })
}

// cancel ends the consumers. When it returns, all that the server has sent is in.
func (l *lane) cancel() error {
	l.asking.Lock()
	defer l.asking.Unlock()
	for _, tag := range l.consumers {
		if err := l.channel.Cancel(tag, false); err != nil {
			return err
		}
	}
	l.passing.Wait()
	return nil
}

// collect moves what is in to arrived.
func (l *lane) collect() {
	for range len(l.in) {
		m := <-l.in
		l.arrived[m.DeliveryTag] = m
	}
}
