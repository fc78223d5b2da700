package natsbroker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
)

// The metadata that marks what this package created, and may therefore change.
const (
	madeByKey   = "micro-event"
	madeByValue = "natsbroker"
)

// overlapCode is the error of a stream whose subject another one has taken; the
// client has no name for it.
const overlapCode jetstream.ErrorCode = 10065

// Declare implements [broker.Driver].
func (d *Driver) Declare(ctx context.Context, topic, queue string) error {
	if d.config.policy == Off {
		return nil
	}
	_, err := d.ensureConsumer(ctx, topic, d.durable(topic, queue))
	return err
}

// ensureStream returns the name of the stream that takes a topic.
func (d *Driver) ensureStream(ctx context.Context, topic string) (string, error) {
	name, err := d.js.StreamNameBySubject(ctx, topic)
	if !errors.Is(err, jetstream.ErrStreamNotFound) {
		return name, err
	}
	if d.config.policy != Auto {
		return "", fmt.Errorf("%w: no stream takes the subject %q, and provisioning is not Auto", err, topic)
	}
	config := d.config.stream
	config.Name, config.Subjects = streamName(topic), []string{topic}
	config.Metadata = marked(config.Metadata)
	if _, err = d.js.CreateStream(ctx, config); err == nil {
		return config.Name, nil
	}
	if isAPIError(err, overlapCode) || errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
		if name, again := d.js.StreamNameBySubject(ctx, topic); again == nil {
			return name, nil // another process was faster
		}
	}
	return "", fmt.Errorf("create stream %q: %w", config.Name, err)
}

func marked(metadata map[string]string) map[string]string {
	m := maps.Clone(metadata)
	if m == nil {
		m = make(map[string]string)
	}
	m[madeByKey] = madeByValue
	return m
}

func isAPIError(err error, code jetstream.ErrorCode) bool {
	api, ok := errors.AsType[*jetstream.APIError](err)
	return ok && api.ErrorCode == code
}

// durable is the consumer of a queue.
func (d *Driver) durable(topic, queue string) jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{
		Durable:       durableName(topic, queue),
		Description:   fmt.Sprintf("queue %s of %s", queue, topic),
		FilterSubject: topic,
		DeliverPolicy: jetstream.DeliverNewPolicy,
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       d.config.ackWait,
		MaxDeliver:    -1, // attempts are counted by the engine
		MaxAckPending: -1, // what one member holds must not stop the others
		Metadata:      marked(nil),
	}
}

// ephemeral is the consumer of a subscription without a queue. It is durable for
// the server too, so that it survives restarts, and ends by its threshold.
func (d *Driver) ephemeral(topic, id string) jetstream.ConsumerConfig {
	c := d.durable(topic, "broadcast-"+id)
	c.InactiveThreshold = d.config.inactive
	return c
}

// ensureConsumer returns the name of the stream of a consumer that exists.
func (d *Driver) ensureConsumer(ctx context.Context, topic string, want jetstream.ConsumerConfig) (string, error) {
	stream, err := d.ensureStream(ctx, topic)
	if err != nil {
		return "", err
	}
	if d.config.policy == Off && want.InactiveThreshold == 0 {
		return stream, nil
	}
	consumer, err := d.js.Consumer(ctx, stream, want.Durable)
	switch {
	case errors.Is(err, jetstream.ErrConsumerNotFound):
		return stream, d.createConsumer(ctx, stream, want)
	case err != nil:
		return "", fmt.Errorf("consumer %q of stream %q: %w", want.Durable, stream, err)
	}
	return stream, d.mendConsumer(ctx, stream, consumer.CachedInfo().Config, want)
}

func (d *Driver) createConsumer(ctx context.Context, stream string, want jetstream.ConsumerConfig) error {
	if d.config.policy != Auto && want.InactiveThreshold == 0 {
		return fmt.Errorf("%w: consumer %q of stream %q, and provisioning is not Auto",
			jetstream.ErrConsumerNotFound, want.Durable, stream)
	}
	s, err := d.js.Stream(ctx, stream)
	if err == nil {
		if s.CachedInfo().Config.Retention == jetstream.WorkQueuePolicy {
			want.DeliverPolicy = jetstream.DeliverAllPolicy // such streams allow no other
		}
		_, err = s.CreateConsumer(ctx, want)
	}
	if errors.Is(err, jetstream.ErrConsumerExists) {
		return nil // another process was faster; its options are checked by the next
	}
	if err != nil {
		return fmt.Errorf("create consumer %q of stream %q: %w", want.Durable, stream, err)
	}
	return nil
}

// mendConsumer checks a consumer that exists, and changes it if it is ours.
func (d *Driver) mendConsumer(ctx context.Context, stream string, got, want jetstream.ConsumerConfig) error {
	faults := consumerFaults(got, want)
	if faults == "" {
		return nil
	}
	if d.config.policy != Auto || got.Metadata[madeByKey] != madeByValue {
		return fmt.Errorf("consumer %q of stream %q cannot keep the contract: %s", want.Durable, stream, faults)
	}
	want.DeliverPolicy = got.DeliverPolicy // cannot be changed
	if _, err := d.js.UpdateConsumer(ctx, stream, want); err != nil {
		return fmt.Errorf("update consumer %q of stream %q (%s): %w", want.Durable, stream, faults, err)
	}
	return nil
}

// consumerFaults says what would break the delivery contract, or "".
func consumerFaults(got, want jetstream.ConsumerConfig) string {
	var faults []string
	note := func(bad bool, text string, args ...any) {
		if bad {
			faults = append(faults, fmt.Sprintf(text, args...))
		}
	}
	note(got.DeliverSubject != "", "it pushes to %q", got.DeliverSubject)
	note(got.AckPolicy != jetstream.AckExplicitPolicy, "its ack policy is %v, want explicit", got.AckPolicy)
	note(got.FilterSubject != want.FilterSubject, "it filters %q, want %q", got.FilterSubject, want.FilterSubject)
	note(got.MaxDeliver > 0, "it gives up after %d deliveries, want no limit", got.MaxDeliver)
	note(got.AckWait < want.AckWait, "its ack wait is %v, want at least %v", got.AckWait, want.AckWait)
	return strings.Join(faults, ", ")
}
