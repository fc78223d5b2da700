package benchmarks

import (
	"context"
	"strings"
	"testing"

	"github.com/IBM/sarama"
	"github.com/ThreeDotsLabs/watermill"
	watermillkafka "github.com/ThreeDotsLabs/watermill-kafka/v3/pkg/kafka"
	"github.com/twmb/franz-go/pkg/kgo"

	kafkabroker "github.com/micro-event/micro-event/runtime/broker/kafka"
)

// BenchmarkKafka publishes to one partition and waits for all replicas.
func BenchmarkKafka(b *testing.B) {
	url, topic := server(b, "MICRO_EVENT_KAFKA"), topic()
	br := connect(b, kafkabroker.New(url))
	must(b, br.DeclareQueue(b.Context(), topic, "q"))
	seeds := strings.TrimPrefix(url, "kafka://")
	client, err := kgo.NewClient(kgo.SeedBrokers(seeds), kgo.ProducerLinger(0))
	must(b, err)
	b.Cleanup(client.Close)

	sync, async := ours(b, br, topic)
	raw := each("raw", func() error { return client.ProduceSync(b.Context(), kafkaRecord(topic)).FirstErr() })
	peer := each("watermill", watermillKafka(b, seeds, topic))
	b.Run("sync-1", func(b *testing.B) { measure(b, 1, raw, sync, peer) })
	b.Run("sync-64", func(b *testing.B) { measure(b, 64, raw, sync, peer) })
	b.Run("async", func(b *testing.B) {
		measure(b, 1, side{"raw", func(n int) error { return kafkaAsync(b.Context(), client, topic, n) }}, async, peer)
	})
}

func kafkaRecord(topic string) *kgo.Record {
	headers := []kgo.RecordHeader{{Key: "ce_specversion", Value: []byte("1.0")}, {Key: "content-type", Value: []byte(contentType)}}
	for name, value := range attributes {
		headers = append(headers, kgo.RecordHeader{Key: "ce_" + name, Value: []byte(value)})
	}
	return &kgo.Record{Topic: topic, Key: []byte(key), Value: body, Headers: headers}
}

func kafkaAsync(ctx context.Context, client *kgo.Client, topic string, n int) error {
	errs := make(chan error, n)
	for range n {
		client.Produce(ctx, kafkaRecord(topic), func(_ *kgo.Record, err error) { errs <- err })
	}
	var first error
	for range n {
		if err := <-errs; err != nil {
			first = err
		}
	}
	return first
}

// watermillKafka publishes as Watermill does, which waits for each confirmation;
// here for that of all replicas, as the other sides do.
func watermillKafka(b *testing.B, seeds, topic string) func() error {
	config := watermillkafka.DefaultSaramaSyncPublisherConfig()
	config.Producer.RequiredAcks = sarama.WaitForAll
	p, err := watermillkafka.NewPublisher(watermillkafka.PublisherConfig{
		Brokers: strings.Split(seeds, ","), Marshaler: watermillkafka.DefaultMarshaler{}, OverwriteSaramaConfig: config,
	}, watermill.NopLogger{})
	must(b, err)
	b.Cleanup(func() {
		if err := p.Close(); err != nil {
			b.Error(err)
		}
	})
	return func() error { return p.Publish(topic, watermillMessage()) }
}
