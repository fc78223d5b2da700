package benchmarks

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	watermillnats "github.com/ThreeDotsLabs/watermill-nats/v2/pkg/nats"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	natsbroker "github.com/micro-event/micro-event/runtime/broker/nats"
)

// BenchmarkNATS publishes to a stream in memory, so that the disk does not hide the
// clients.
func BenchmarkNATS(b *testing.B) {
	url, topic := server(b, "MICRO_EVENT_NATS"), topic()
	conn, err := nats.Connect(url)
	must(b, err)
	b.Cleanup(conn.Close)
	js, err := jetstream.New(conn, jetstream.WithPublishAsyncMaxPending(natsbroker.DefaultPublishWindow))
	must(b, err)
	stream := jetstream.StreamConfig{Name: topic[len("bench."):], Subjects: []string{topic}, Storage: jetstream.MemoryStorage, MaxMsgs: round}
	_, err = js.CreateStream(b.Context(), stream)
	must(b, err)
	b.Cleanup(func() { js.DeleteStream(context.Background(), stream.Name) }) //nolint:errcheck // the server is the benchmark's

	sync, async := ours(b, connect(b, natsbroker.New(url)), topic)
	raw := each("raw", func() error { _, err := js.PublishMsg(b.Context(), natsMessage(topic)); return err })
	peer := each("watermill", watermillNATS(b, url, topic))
	b.Run("sync-1", func(b *testing.B) { measure(b, 1, raw, sync, peer) })
	b.Run("sync-64", func(b *testing.B) { measure(b, 64, raw, sync, peer) })
	b.Run("async", func(b *testing.B) {
		measure(b, 1, side{"raw", func(n int) error { return natsAsync(js, topic, n) }}, async, peer)
	})
}

func natsMessage(topic string) *nats.Msg {
	h := nats.Header{"ce-specversion": {"1.0"}, "ce-partitionkey": {key}, "content-type": {contentType}}
	for name, value := range attributes {
		h["ce-"+name] = []string{value}
	}
	return &nats.Msg{Subject: topic, Data: body, Header: h}
}

func natsAsync(js jetstream.JetStream, topic string, n int) error {
	futures := make([]jetstream.PubAckFuture, n)
	for i := range futures {
		f, err := js.PublishMsgAsync(natsMessage(topic), jetstream.WithStallWait(time.Minute))
		if err != nil {
			return err
		}
		futures[i] = f
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

// watermillNATS publishes as Watermill does, which waits for each confirmation.
func watermillNATS(b *testing.B, url, topic string) func() error {
	p, err := watermillnats.NewPublisher(watermillnats.PublisherConfig{
		URL: url, Marshaler: &watermillnats.NATSMarshaler{},
		JetStream: watermillnats.JetStreamConfig{AutoProvision: false},
	}, watermill.NopLogger{})
	must(b, err)
	b.Cleanup(func() {
		if err := p.Close(); err != nil {
			b.Error(err)
		}
	})
	return func() error { return p.Publish(topic, watermillMessage()) }
}
