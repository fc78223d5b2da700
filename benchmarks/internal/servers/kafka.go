package servers

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/IBM/sarama"
	"github.com/ThreeDotsLabs/watermill"
	watermillkafka "github.com/ThreeDotsLabs/watermill-kafka/v3/pkg/kafka"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/micro-event/micro-event/runtime/broker"
	kafkabroker "github.com/micro-event/micro-event/runtime/broker/kafka"

	"github.com/micro-event/micro-event/benchmarks/internal/measure"
	"github.com/micro-event/micro-event/benchmarks/internal/sample"
)

// kafkaTarget has topics of one partition, whose replicas all confirm.
type kafkaTarget struct {
	url    string
	client *kgo.Client
	seen   map[string]int64 // the end that taken was last told of
}

func newKafka(url string) target { return &kafkaTarget{url: url, seen: make(map[string]int64)} }

func (t *kafkaTarget) engine() *broker.Engine { return kafkabroker.New(t.url) }

func (t *kafkaTarget) seeds() string { return strings.TrimPrefix(t.url, "kafka://") }

func (t *kafkaTarget) open(_ context.Context, b *measure.Bench) (err error) {
	t.client, err = kgo.NewClient(kgo.SeedBrokers(t.seeds()), kgo.ProducerLinger(0))
	if err != nil {
		return err
	}
	b.Cleanup(func() error {
		defer t.client.Close()
		topics := make([]string, 0, len(t.seen))
		for topic := range t.seen {
			topics = append(topics, topic)
		}
		_, err := kadm.NewClient(t.client).DeleteTopics(context.Background(), topics...)
		return err
	})
	return nil
}

func (t *kafkaTarget) declare(ctx context.Context, topic string) error {
	t.seen[topic] = 0
	response, err := kadm.NewClient(t.client).CreateTopic(ctx, 1, 1, nil, topic)
	return errors.Join(err, response.Err)
}

// taken leaves the messages to the end of the topic.
func (t *kafkaTarget) taken(ctx context.Context, topic string, _ int) (int, error) {
	ends, err := kadm.NewClient(t.client).ListEndOffsets(ctx, topic)
	if err := errors.Join(err, ends.Error()); err != nil {
		return 0, err
	}
	end, ok := ends.Lookup(topic, 0)
	if !ok {
		return 0, fmt.Errorf("kafka does not tell the end of %q", topic)
	}
	n := end.Offset - t.seen[topic]
	t.seen[topic] = end.Offset
	return int(n), nil
}

func kafkaRecord(topic string) (*kgo.Record, error) {
	value, err := body()
	if err != nil {
		return nil, err
	}
	all := make([]kgo.RecordHeader, 0, len(headers)+1)
	all = append(all, kgo.RecordHeader{Key: "ce_specversion", Value: []byte("1.0")})
	for _, h := range headers {
		all = append(all, kgo.RecordHeader{Key: strings.Replace(h.Name, "ce-", "ce_", 1), Value: []byte(h.Value)})
	}
	return &kgo.Record{Topic: topic, Key: []byte(sample.Key), Value: value, Headers: all}, nil
}

func (t *kafkaTarget) send(ctx context.Context, topic string) error {
	r, err := kafkaRecord(topic)
	if err != nil {
		return err
	}
	return t.client.ProduceSync(ctx, r).FirstErr()
}

func (t *kafkaTarget) sendAll(ctx context.Context, topic string, n int) error {
	errs := make(chan error, n)
	for range n {
		r, err := kafkaRecord(topic)
		if err != nil {
			return err
		}
		t.client.Produce(ctx, r, func(_ *kgo.Record, err error) { errs <- err })
	}
	var first error
	for range n {
		if err := <-errs; err != nil {
			first = err
		}
	}
	return first
}

// watermill waits for each confirmation; here for that of all replicas, as the other
// sides do.
func (t *kafkaTarget) watermill(b *measure.Bench, topic string) (func() error, error) {
	config := watermillkafka.DefaultSaramaSyncPublisherConfig()
	config.Producer.RequiredAcks = sarama.WaitForAll
	p, err := watermillkafka.NewPublisher(watermillkafka.PublisherConfig{
		Brokers: strings.Split(t.seeds(), ","), Marshaler: watermillkafka.DefaultMarshaler{}, OverwriteSaramaConfig: config,
	}, watermill.NopLogger{})
	if err != nil {
		return nil, err
	}
	return publisher(b, topic, p), nil
}

// stream is a member of a group that commits what it has handled every second, as ours
// does.
func (t *kafkaTarget) stream(_ context.Context, b *measure.Bench, topic string, handle func([]byte) error) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(t.seeds()), kgo.ConsumeTopics(topic), kgo.ConsumerGroup(topic+".bare"),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.AutoCommitMarks(), kgo.AutoCommitInterval(time.Second))
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		var failed error
		for ctx.Err() == nil {
			client.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
				if err := handle(r.Value); err != nil {
					failed = errors.Join(failed, err)
					return
				}
				client.MarkCommitRecords(r)
			})
		}
		ended <- failed
	}()
	b.Cleanup(func() error {
		cancel()
		err := <-ended
		client.Close()
		return err
	})
	return nil
}
