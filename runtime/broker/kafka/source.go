package kafkabroker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/micro-event/micro-event/runtime/broker"
)

const (
	// prefetch costs other members nothing: what lies in a partition is for the
	// member that has it.
	prefetch = 128

	pollRecords     = 512
	commitInterval  = time.Second
	heartbeats      = 15 // per session timeout
	closeTimeout    = 5 * time.Second
	maxFetchedBytes = 16 << 20 // that a subscription keeps of each server
)

var errStopped = errors.New("kafka: source is stopped")

// source is a member of a consumer group, or reads all partitions by itself.
type source struct {
	driver  *driver
	topic   string
	client  *kgo.Client
	polling context.Context //nolint:containedctx // ended by Stop
	stop    context.CancelFunc
	pending []*delivery // polled, not yet received; used by Receive only

	mu          sync.Mutex
	assignments map[int32]*assignment // by partition
	made        int32                 // assignments, ever

	joined   chan struct{} // closed when the group has said what the member gets
	joinOnce sync.Once
}

var (
	_ broker.Source         = (*source)(nil)
	_ broker.StaleChecker   = (*source)(nil)
	_ broker.AttemptWatcher = (*source)(nil)
)

// Open implements [broker.Driver].
func (d *driver) Open(ctx context.Context, spec broker.SourceSpec) (broker.Source, error) {
	s := &source{driver: d, topic: spec.Topic, assignments: make(map[int32]*assignment), joined: make(chan struct{})}
	opts, err := d.consumerOptions(ctx, spec, s)
	if err != nil {
		return nil, err
	}
	s.client, err = kgo.NewClient(append(d.clientOptions(), opts...)...)
	if err != nil {
		return nil, err
	}
	s.polling, s.stop = context.WithCancel(context.WithoutCancel(ctx))
	if spec.Queue == broker.DeadLetterQueue {
		if err := s.awaitJoined(ctx); err != nil {
			return nil, errors.Join(err, s.Close(context.WithoutCancel(ctx)))
		}
	}
	return s, nil
}

// awaitJoined waits for the first assignment, for which servers let a group wait
// three seconds by default. No message is missed meanwhile, but Redrive takes a
// queue for empty that gives nothing for a second.
func (s *source) awaitJoined(ctx context.Context) error {
	timeout := time.NewTimer(s.driver.config.rebalanceTimeout)
	defer timeout.Stop()
	select {
	case <-s.joined:
		return nil
	case <-timeout.C:
		return nil // Receive tells why
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (d *driver) consumerOptions(ctx context.Context, spec broker.SourceSpec, s *source) ([]kgo.Opt, error) {
	opts := []kgo.Opt{
		kgo.FetchMaxBytes(maxFetchedBytes),
		kgo.DisableFetchSessions(), // they spare few bytes with one topic, and ending them takes time
	}
	if spec.Queue == "" {
		own, err := d.ownCopy(ctx, spec.Topic)
		return append(opts, own), err
	}
	if err := d.Declare(ctx, spec.Topic, spec.Queue); err != nil {
		return nil, err
	}
	return append(opts,
		kgo.ConsumeTopics(spec.Topic),
		kgo.ConsumerGroup(groupOf(spec.Topic, spec.Queue)),
		kgo.SessionTimeout(d.config.sessionTimeout),
		kgo.HeartbeatInterval(d.config.sessionTimeout/heartbeats),
		kgo.RebalanceTimeout(d.config.rebalanceTimeout),
		kgo.BlockRebalanceOnPoll(),
		kgo.AutoCommitMarks(),
		kgo.AutoCommitInterval(commitInterval),
		kgo.OnPartitionsAssigned(s.assigned),
		kgo.OnPartitionsRevoked(s.revoked),
		kgo.OnPartitionsLost(s.lost),
	), nil
}

// ownCopy reads all partitions from where they end now.
func (d *driver) ownCopy(ctx context.Context, topic string) (kgo.Opt, error) {
	session := d.session.Load()
	if session == nil {
		return nil, broker.ErrClosed
	}
	ends, err := d.ends(ctx, session.admin, topic)
	if err != nil {
		return nil, err
	}
	if ends == nil {
		return kgo.ConsumeTopics(topic), nil
	}
	return kgo.ConsumePartitions(ends.KOffsets()), nil
}

// Receive implements [broker.Source].
func (s *source) Receive(ctx context.Context, buf []broker.Raw) (int, error) {
	if s.polling.Err() != nil {
		return 0, errStopped
	}
	if n := s.take(buf); n > 0 {
		return n, nil
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(s.polling, func() { cancel(errStopped) }) //nolint:contextcheck // the life of the source is another one
	defer stop()
	for { // in between, the client waits before it tries again
		if err := s.poll(ctx); err != nil {
			return 0, err
		}
		if n := s.take(buf); n > 0 {
			return n, nil
		}
	}
}

// take gives away what was polled, but for what has become stale since.
func (s *source) take(buf []broker.Raw) int {
	n := 0
	for len(s.pending) > 0 && n < len(buf) {
		d := s.pending[0]
		s.pending[0], s.pending = nil, s.pending[1:]
		if d.assignment.isLeaving() {
			continue
		}
		d.place = d.assignment.given
		d.assignment.given++
		buf[n] = broker.Raw{Key: string(d.record.Key), Partition: d.assignment.id, Value: d}
		n++
	}
	return n
}

// poll waits for records. Until it allows it, no partition is taken away, so each
// record finds the assignment under which it was fetched.
func (s *source) poll(ctx context.Context) error {
	fetches := s.client.PollRecords(ctx, pollRecords)
	defer s.client.AllowRebalance()
	s.mu.Lock()
	defer s.mu.Unlock()
	deliveries := make([]delivery, 0, fetches.NumRecords())
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		if len(p.Records) == 0 {
			return
		}
		a := s.assignment(p.Partition)
		for _, r := range p.Records {
			deliveries = append(deliveries, delivery{record: r, assignment: a})
			s.pending = append(s.pending, &deliveries[len(deliveries)-1])
		}
	})
	if len(deliveries) > 0 {
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err := fetches.Err(); !passes(err) {
		return err
	}
	return nil
}

// assignment returns that of a partition. The caller holds mu.
func (s *source) assignment(partition int32) *assignment {
	a := s.assignments[partition]
	if a == nil {
		s.made++
		a = newAssignment(s.made)
		s.assignments[partition] = a
	}
	return a
}

func (s *source) assigned(_ context.Context, _ *kgo.Client, topics map[string][]int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range topics[s.topic] {
		s.assignment(p)
	}
	s.joinOnce.Do(func() { close(s.joined) })
}

// revoked hands partitions over: what runs ends first, what is done is committed.
func (s *source) revoked(ctx context.Context, client *kgo.Client, topics map[string][]int32) {
	leaving := s.remove(topics[s.topic])
	if len(leaving) == 0 {
		return
	}
	timeout := time.NewTimer(s.driver.config.rebalanceTimeout * 3 / 4)
	defer timeout.Stop()
	for _, a := range leaving {
		a.await(timeout.C)
	}
	for _, a := range leaving {
		a.over()
	}
	ctx, cancel := context.WithTimeout(ctx, closeTimeout)
	defer cancel()
	// What is not committed is delivered again; Close reports what it cannot commit.
	_ = client.CommitMarkedOffsets(ctx) //nolint:errcheck // see above
}

// lost gives up partitions that others have already. Committing would move them
// back.
func (s *source) lost(_ context.Context, _ *kgo.Client, topics map[string][]int32) {
	for _, a := range s.remove(topics[s.topic]) {
		a.over()
	}
}

// remove lets no further attempt of these partitions begin.
func (s *source) remove(partitions []int32) []*assignment {
	s.mu.Lock()
	defer s.mu.Unlock()
	var removed []*assignment
	for _, p := range partitions {
		if a := s.assignments[p]; a != nil {
			delete(s.assignments, p)
			a.leave()
			removed = append(removed, a)
		}
	}
	return removed
}

func deliveryOf(r *broker.Raw) *delivery {
	return r.Value.(*delivery) //nolint:forcetypeassert // take puts nothing else there
}

// Load implements [broker.Source].
func (s *source) Load(r *broker.Raw) (broker.Record, error) {
	record := deliveryOf(r).record
	return broker.Record{Key: r.Key, Header: fieldsOf(record.Headers), Body: record.Value}, nil
}

// Settle implements [broker.Source]. What is given back is not marked, and
// nothing behind it is settled any more.
func (s *source) Settle(_ context.Context, r *broker.Raw, o broker.Outcome, _ error) error {
	if o == broker.GiveBack {
		return nil
	}
	d := deliveryOf(r)
	if !d.assignment.settle(d, s.mark) {
		return broker.ErrStale
	}
	return nil
}

func (s *source) mark(r *kgo.Record) { s.client.MarkCommitRecords(r) }

// Extend implements [broker.Source]. There is no ack clock.
func (s *source) Extend(context.Context, []broker.Raw) {}

// Stale implements [broker.StaleChecker].
func (s *source) Stale(r *broker.Raw) bool { return deliveryOf(r).assignment.isLeaving() }

// BeginAttempt implements [broker.AttemptWatcher].
func (s *source) BeginAttempt(r *broker.Raw) bool { return deliveryOf(r).assignment.begin() }

// EndAttempt implements [broker.AttemptWatcher].
func (s *source) EndAttempt(r broker.Raw) { deliveryOf(&r).assignment.end() }

// Stop implements [broker.Source]. The partitions stay until Close, so that what
// runs cannot overlap with another member.
func (s *source) Stop(context.Context) error {
	s.stop()
	return nil
}

// Close implements [broker.Source].
func (s *source) Close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, closeTimeout)
	defer cancel()
	err := s.client.CommitMarkedOffsets(ctx)
	s.client.AllowRebalance()
	leaveErr := s.client.LeaveGroupContext(ctx)
	s.client.CloseAllowingRebalance()
	s.client.AllowRebalance() // again: leaving has been seen to wait for a poll that had ended
	if err = errors.Join(err, leaveErr); err != nil {
		return fmt.Errorf("leave the group: %w", err)
	}
	return nil
}
