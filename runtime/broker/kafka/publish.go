package kafkabroker

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/semaphore"

	"github.com/micro-event/micro-event/runtime/broker"
)

const (
	// metadataMinAge is how soon the client asks again for a topic that it does not
	// know, unknownTopicRetries how often before it gives up: servers do not learn
	// of a new topic at the same moment.
	metadataMinAge      = 100 * time.Millisecond
	unknownTopicRetries = 3

	// recordOverhead is what an unconfirmed message takes beside its bytes.
	recordOverhead = 512

	// maxPooledBytes is the largest copy of a message that is used again.
	maxPooledBytes = 64 << 10
)

// producerOptions are those of the client that publishes. It sends at once: what
// is published meanwhile makes the next batch. Room is kept by the driver, whose
// callers can stop waiting for it.
func (d *driver) producerOptions() []kgo.Opt {
	return []kgo.Opt{
		kgo.RequiredAcks(kgo.AllISRAcks()), // and idempotent, as is the default
		kgo.RecordPartitioner(kgo.UniformBytesPartitioner(64<<10, true, true, nil)),
		kgo.ProducerLinger(0),
		kgo.ProducerBatchMaxBytes(d.config.maxBatchBytes),
		kgo.UnknownTopicRetries(unknownTopicRetries),
		kgo.MaxBufferedRecords(1 << 30),
	}
}

// Publish implements [broker.Driver]. The client never learns that ctx has ended:
// it would fail all messages of the partition with this one. So a message whose
// Publish gave up may still be sent.
func (d *driver) Publish(ctx context.Context, topic string, r *broker.Record, o broker.PublishOptions) error {
	p, err := d.produce(ctx, topic, r, o)
	if err != nil {
		return err
	}
	return p.await(ctx)
}

// PublishBatch implements [broker.BatchPublisher].
func (d *driver) PublishBatch(ctx context.Context, topic string, rs []*broker.Record, o broker.PublishOptions) []error {
	errs := make([]error, len(rs))
	produced := make([]*production, len(rs))
	for i, r := range rs {
		produced[i], errs[i] = d.produce(ctx, topic, r, o)
	}
	failed := false
	for i, p := range produced {
		if p != nil {
			errs[i] = p.await(ctx)
		}
		failed = failed || errs[i] != nil
	}
	if !failed {
		return nil
	}
	return errs
}

// produce hands a copy of r to the client.
func (d *driver) produce(ctx context.Context, topic string, r *broker.Record, o broker.PublishOptions) (*production, error) {
	s := d.session.Load()
	if s == nil {
		return nil, broker.NotDelivered(broker.ErrClosed)
	}
	size := sizeOf(r)
	weight := min(int64(size)+recordOverhead, d.config.maxBufferedBytes)
	if !d.room.TryAcquire(weight) {
		if o.NoWait {
			return nil, broker.NotDelivered(broker.ErrBackpressure)
		}
		if err := s.acquire(ctx, d.room, weight); err != nil {
			return nil, broker.NotDelivered(err)
		}
	}
	p := productions.Get().(*production) //nolint:forcetypeassert // the pool holds nothing else
	p.fill(topic, r, size)
	p.room, p.weight = d.room, weight
	s.client.Produce(context.Background(), &p.record, p.finished) //nolint:contextcheck // see Publish
	return p, nil
}

// acquire waits for room until ctx ends or the session does.
func (s *session) acquire(ctx context.Context, room *semaphore.Weighted, weight int64) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(s.ended, func() { cancel(broker.ErrClosed) }) //nolint:contextcheck // the life of the session is another one
	defer stop()
	if room.Acquire(ctx, weight) != nil {
		return context.Cause(ctx)
	}
	return nil
}

// sizeOf is how many bytes the copy of a record has.
func sizeOf(r *broker.Record) int {
	size := len(r.Key) + len(r.Body) + len(boundSpecVersion1)
	for i := range r.Header {
		size += len(r.Header[i].Value)
	}
	return size
}

// production is a message on its way. It is used again once it has arrived.
type production struct {
	record   kgo.Record
	headers  []kgo.RecordHeader
	arena    []byte // holds key, headers and body
	room     *semaphore.Weighted
	weight   int64
	done     chan error // has room for one
	finished func(*kgo.Record, error)
}

var productions = sync.Pool{New: func() any {
	p := &production{done: make(chan error, 1)}
	p.finished = func(_ *kgo.Record, err error) {
		p.room.Release(p.weight)
		p.done <- err
	}
	return p
}}

// fill copies a message of the given size.
func (p *production) fill(topic string, r *broker.Record, size int) {
	if cap(p.arena) < size {
		p.arena = make([]byte, 0, size)
	}
	p.arena = append(p.arena[:0], r.Key...)
	var key []byte // null: no key
	if r.Key != "" {
		key = slices.Clip(p.arena)
	}
	p.headers, p.arena = appendBound(p.headers[:0], p.arena, r)
	start := len(p.arena)
	p.arena = append(p.arena, r.Body...)
	p.record = kgo.Record{Topic: topic, Key: key, Headers: p.headers, Value: p.arena[start:]}
}

// await returns what became of the message.
func (p *production) await(ctx context.Context) error {
	select {
	case err := <-p.done:
		return p.result(err)
	case <-ctx.Done():
	}
	select {
	case err := <-p.done: // at the same moment
		return p.result(err)
	default:
		return fmt.Errorf("not confirmed yet: %w", context.Cause(ctx))
	}
}

func (p *production) result(err error) error {
	if err == nil && cap(p.arena) <= maxPooledBytes { // after an error the client may still read it
		p.record = kgo.Record{}
		clear(p.headers)
		productions.Put(p)
	}
	return publishFault(err)
}
