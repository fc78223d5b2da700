package servers

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	watermillnats "github.com/ThreeDotsLabs/watermill-nats/v2/pkg/nats"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/micro-event/micro-event/runtime/broker"
	natsbroker "github.com/micro-event/micro-event/runtime/broker/nats"

	"github.com/micro-event/micro-event/benchmarks/internal/measure"
	"github.com/micro-event/micro-event/benchmarks/internal/sample"
)

// natsTarget has a stream in memory for each topic, so that the disk does not hide the
// clients.
type natsTarget struct {
	url string
	js  jetstream.JetStream
	// seen is the last sequence number that taken was told of.
	seen map[string]uint64
}

func newNATS(url string) target { return &natsTarget{url: url, seen: make(map[string]uint64)} }

func (t *natsTarget) engine() *broker.Engine { return natsbroker.New(t.url) }

func (t *natsTarget) open(_ context.Context, b *measure.Bench) error {
	conn, err := nats.Connect(t.url)
	if err != nil {
		return err
	}
	b.Cleanup(func() error {
		conn.Close()
		return nil
	})
	t.js, err = jetstream.New(conn, jetstream.WithPublishAsyncMaxPending(natsbroker.DefaultPublishWindow))
	b.Cleanup(func() error {
		var errs []error
		for topic := range t.seen {
			errs = append(errs, t.js.DeleteStream(context.Background(), streamName(topic)))
		}
		return errors.Join(errs...)
	})
	return err
}

func streamName(topic string) string { return strings.ReplaceAll(topic, ".", "_") }

func (t *natsTarget) declare(ctx context.Context, topic string) error {
	t.seen[topic] = 0
	_, err := t.js.CreateStream(ctx, jetstream.StreamConfig{Name: streamName(topic), Subjects: []string{topic}, Storage: jetstream.MemoryStorage})
	return err
}

func (t *natsTarget) taken(ctx context.Context, topic string, _ int) (int, error) {
	stream, err := t.js.Stream(ctx, streamName(topic))
	if err != nil {
		return 0, err
	}
	if err := stream.Purge(ctx); err != nil {
		return 0, err
	}
	info, err := stream.Info(ctx)
	if err != nil {
		return 0, err
	}
	n := info.State.LastSeq - t.seen[topic]
	t.seen[topic] = info.State.LastSeq
	return int(n), nil
}

func natsMessage(topic string) (*nats.Msg, error) {
	data, err := body()
	if err != nil {
		return nil, err
	}
	h := make(nats.Header, len(headers)+2)
	for _, a := range headers {
		h[a.Name] = []string{a.Value}
	}
	h["ce-specversion"], h["ce-partitionkey"] = []string{"1.0"}, []string{sample.Key}
	return &nats.Msg{Subject: topic, Data: data, Header: h}, nil
}

func (t *natsTarget) send(ctx context.Context, topic string) error {
	m, err := natsMessage(topic)
	if err != nil {
		return err
	}
	_, err = t.js.PublishMsg(ctx, m)
	return err
}

func (t *natsTarget) sendAll(_ context.Context, topic string, n int) error {
	futures := make([]jetstream.PubAckFuture, n)
	for i := range futures {
		m, err := natsMessage(topic)
		if err != nil {
			return err
		}
		if futures[i], err = t.js.PublishMsgAsync(m, jetstream.WithStallWait(time.Minute)); err != nil {
			return err
		}
	}
	var errs []error
	for _, f := range futures {
		select {
		case <-f.Ok():
		case err := <-f.Err():
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// watermill waits for each confirmation.
func (t *natsTarget) watermill(b *measure.Bench, topic string) (func() error, error) {
	p, err := watermillnats.NewPublisher(watermillnats.PublisherConfig{
		URL: t.url, Marshaler: &watermillnats.NATSMarshaler{},
		JetStream: watermillnats.JetStreamConfig{AutoProvision: false},
	}, watermill.NopLogger{})
	if err != nil {
		return nil, err
	}
	return publisher(b, topic, p), nil
}

// stream acknowledges each message, as ours does.
func (t *natsTarget) stream(ctx context.Context, b *measure.Bench, topic string, handle func([]byte) error) error {
	consumer, err := t.js.CreateConsumer(ctx, streamName(topic), jetstream.ConsumerConfig{AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: -1})
	if err != nil {
		return err
	}
	var failed atomic.Pointer[error]
	running, err := consumer.Consume(func(m jetstream.Msg) {
		if err := errors.Join(handle(m.Data()), m.Ack()); err != nil {
			failed.Store(&err)
		}
	})
	if err != nil {
		return err
	}
	b.Cleanup(func() error {
		running.Stop()
		<-running.Closed()
		if err := failed.Load(); err != nil {
			return *err
		}
		return nil
	})
	return nil
}
