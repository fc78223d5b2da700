package redisbroker

import (
	"context"
	"crypto/rand"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"

	"github.com/micro-event/micro-event/runtime/broker"
)

// closeTimeout bounds what Stop and Close do on the server. What is not done then
// is delivered again after the ack wait.
const closeTimeout = 2 * time.Second

var errStopped = errors.New("redis: source is stopped")

// source is a member of a group. One goroutine reads, with a connection of its own,
// as much as the engine has room for; another one acknowledges.
type source struct {
	*session
	config   config
	stream   string
	group    string
	own      bool // the group is this source's alone
	consumer string

	life    context.Context //nolint:containedctx // it ends with Stop
	stop    context.CancelCauseFunc
	want    chan int   // asks the reader for messages; has room for one
	got     chan batch // its answer; has room for one
	read    chan struct{}
	reading reading // the reader's

	asked   bool        // Receive waits for an answer; used by Receive only
	arrived []*delivery // not yet received; as asked

	settlements settlements

	mu   sync.Mutex
	mine map[string]*delivery // entries that are this consumer's, by id
}

var (
	_ broker.Source       = (*source)(nil)
	_ broker.StaleChecker = (*source)(nil)
)

// delivery is the Value of a Raw.
type delivery struct {
	id     string
	record broker.Record
	err    error // of reading it
	count  int
	lost   atomic.Bool // another member has claimed it
}

func deliveryOf(r *broker.Raw) *delivery {
	return r.Value.(*delivery) //nolint:forcetypeassert // Receive puts nothing else there
}

// Open implements [broker.Driver].
func (d *driver) Open(ctx context.Context, spec broker.SourceSpec) (broker.Source, error) {
	s := &source{
		session: d.session, config: d.config, stream: streamOf(spec.Topic), group: queuePrefix + spec.Queue, consumer: rand.Text(),
		want: make(chan int, 1), got: make(chan batch, 1), read: make(chan struct{}),
		mine: make(map[string]*delivery),
	}
	s.life, s.stop = context.WithCancelCause(d.link.ended)
	s.settlements.init()
	if spec.Queue == "" {
		s.own, s.group = true, ownPrefix+s.consumer
		if err := s.stayAlive(ctx); err != nil {
			return nil, err
		}
	}
	if err := d.createGroup(ctx, s.stream, s.group, "$"); err != nil {
		return nil, err
	}
	go s.readLoop()   //nolint:contextcheck // the source outlives ctx
	go s.settleLoop() //nolint:contextcheck // as above
	return s, nil
}

// stayAlive lets the group of a subscription without a queue live on.
func (s *source) stayAlive(ctx context.Context) error {
	return s.persist(ctx, func() error {
		return s.client.Do(ctx, s.client.B().Set().Key(aliveKey(s.stream, s.group)).Value("").
			Px(s.config.inactive).Build()).Error()
	})
}

// Receive implements [broker.Source].
func (s *source) Receive(ctx context.Context, buf []broker.Raw) (int, error) {
	for {
		if s.life.Err() != nil {
			return 0, context.Cause(s.life) //nolint:contextcheck // the life of the source is another one
		}
		if n := s.take(buf); n > 0 {
			return n, nil
		}
		if !s.asked {
			s.want <- len(buf)
			s.asked = true
		}
		select {
		case b := <-s.got:
			s.asked, s.arrived = false, b.deliveries
			if b.err != nil {
				return 0, b.err
			}
		case <-s.life.Done():
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	}
}

// take gives away what has arrived.
func (s *source) take(buf []broker.Raw) int {
	n := 0
	for len(s.arrived) > 0 && n < len(buf) {
		d := s.arrived[0]
		s.arrived = s.arrived[1:]
		if d.lost.Load() {
			continue
		}
		buf[n] = broker.Raw{Key: d.record.Key, Deliveries: d.count, Value: d}
		n++
	}
	return n
}

// Load implements [broker.Source].
func (s *source) Load(r *broker.Raw) (broker.Record, error) {
	d := deliveryOf(r)
	return d.record, d.err
}

// Stale implements [broker.StaleChecker].
func (s *source) Stale(r *broker.Raw) bool { return deliveryOf(r).lost.Load() }

// Extend implements [broker.Source]. It extends all that is this consumer's, what
// has not been received or acknowledged yet included.
func (s *source) Extend(ctx context.Context, _ []broker.Raw) {
	ctx, cancel := context.WithTimeout(ctx, s.config.ackWait/3)
	defer cancel()
	s.mu.Lock()
	ids := make([]string, 0, len(s.mine))
	for id := range s.mine {
		ids = append(ids, id)
	}
	s.mu.Unlock()
	for len(ids) > 0 {
		n := min(len(ids), batchSize)
		lost, err := s.run(ctx, extendScript, ids[:n]...).AsStrSlice()
		if err != nil {
			return // it is delivered again, as if this had come too late
		}
		s.lose(lost)
		ids = ids[n:]
	}
}

// lose forgets entries that others have claimed.
func (s *source) lose(ids []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range ids {
		if d := s.mine[id]; d != nil {
			d.lost.Store(true)
			delete(s.mine, id)
		}
	}
}

// Stop implements [broker.Source]. What the reader has yet to answer goes back when
// the source is closed.
func (s *source) Stop(ctx context.Context) error {
	if s.life.Err() == nil {
		s.stop(errStopped)
		s.wake(ctx)
	}
	return nil
}

// wake ends the read that the server holds back for want of messages.
func (s *source) wake(ctx context.Context) {
	id := s.reading.connection.Load()
	if id == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, closeTimeout)
	defer cancel()
	c := s.client
	// Without it the read ends by itself soon.
	_ = c.Do(ctx, c.B().ClientUnblock().ClientId(id).Build()).Error() //nolint:errcheck // see above
}

// Close implements [broker.Source].
func (s *source) Close(ctx context.Context) error {
	<-s.read
	s.settlements.end()
	ctx, cancel := context.WithTimeout(ctx, closeTimeout)
	defer cancel()
	if s.link.await(ctx) != nil {
		return nil // others take over what is left after the ack wait
	}
	err := s.flush(ctx)
	err = errors.Join(err, s.persist(ctx, func() error {
		if s.own {
			return scriptError(s.run(ctx, removeScript))
		}
		return scriptError(s.run(ctx, leaveScript, strconv.Itoa(releasedMs)))
	}), s.tidy(ctx))
	if unreachable(err) || ctx.Err() != nil || isNoGroup(err) || errors.Is(err, rueidis.ErrClosing) {
		return nil // as above
	}
	return err
}

// isNoGroup reports whether the group or the stream does not exist.
func isNoGroup(err error) bool {
	answer, ok := errors.AsType[*rueidis.RedisError](err)
	return ok && len(answer.Error()) > 7 && answer.Error()[:7] == "NOGROUP"
}
