package inprocess

import (
	"context"
	"errors"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2"
	"github.com/cloudevents/sdk-go/v2/client"
	"github.com/cloudevents/sdk-go/v2/protocol/gochan"
	"gocloud.dev/pubsub"
	"gocloud.dev/pubsub/mempubsub"

	"github.com/micro-event/micro-event/benchmarks/internal/measure"
	"github.com/micro-event/micro-event/benchmarks/internal/sample"
)

// cloudEvents goes through the channel of the CloudEvents SDK.
func cloudEvents(ctx context.Context, b *measure.Bench) (measure.Side, error) {
	sdk, err := cloudevents.NewClient(gochan.New(), client.WithPollGoroutines(1), client.WithBlockingCallback(), client.WithUUIDs())
	if err != nil {
		return measure.Side{}, err
	}
	counter := measure.NewCounter()
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() {
		ended <- sdk.StartReceiver(ctx, func(e cloudevents.Event) error { return handle(counter, e.Data()) })
	}()
	b.Cleanup(func() error {
		cancel()
		return <-ended
	})
	side := each("CloudEvents SDK", counter, func(ctx context.Context, body []byte) error {
		e, err := sample.CloudEvent(body)
		if err != nil {
			return err
		}
		if err := sdk.Send(ctx, e); cloudevents.IsUndelivered(err) {
			return err
		}
		return nil
	})
	side.Note = "one receiver, whose handler blocks: in order"
	return side, nil
}

// goCloud goes through the in-memory topic of gocloud.dev.
func goCloud(ctx context.Context, b *measure.Bench) (measure.Side, error) {
	topic, counter := mempubsub.NewTopic(), measure.NewCounter()
	subscription := mempubsub.NewSubscription(topic, time.Minute)
	ended := make(chan error, 1)
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		for {
			m, err := subscription.Receive(ctx)
			if err != nil {
				ended <- err
				return
			}
			if err := handle(counter, m.Body); err != nil {
				ended <- err
				return
			}
			m.Ack()
		}
	}()
	b.Cleanup(func() error {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			return err
		}
		return errors.Join(subscription.Shutdown(context.Background()), topic.Shutdown(context.Background()))
	})
	side := each("gocloud.dev mempubsub", counter, func(ctx context.Context, body []byte) error {
		return topic.Send(ctx, &pubsub.Message{Body: body, Metadata: sample.HeaderMap()})
	})
	side.Note = "Send waits for its batch, and the subscription polls"
	side.Least = 2000
	return side, nil
}
