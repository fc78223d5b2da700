package servers

import (
	"context"
	"errors"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill-redisstream/pkg/redisstream"
	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/rueidis"

	"github.com/micro-event/micro-event/runtime/broker"
	redisbroker "github.com/micro-event/micro-event/runtime/broker/redis"

	"github.com/micro-event/micro-event/benchmarks/internal/measure"
	"github.com/micro-event/micro-event/benchmarks/internal/sample"
)

// redisTarget is a server that writes each command to its file before it answers.
type redisTarget struct {
	url      string
	declarer *broker.Engine
	client   rueidis.Client
}

func newRedis(url string) target { return &redisTarget{url: url} }

func (t *redisTarget) engine() *broker.Engine { return redisbroker.New(t.url) }

func (t *redisTarget) open(ctx context.Context, b *measure.Bench) (err error) {
	if t.declarer, err = connect(ctx, b, t.engine()); err != nil {
		return err
	}
	options, err := rueidis.ParseURL(t.url)
	if err != nil {
		return err
	}
	options.DisableCache = true
	if t.client, err = rueidis.NewClient(options); err != nil {
		return err
	}
	b.Cleanup(func() error {
		t.client.Close()
		return nil
	})
	return nil
}

func redisStream(topic string) string { return "micro-event:{" + topic + "}" }

func (t *redisTarget) declare(ctx context.Context, topic string) error {
	return t.declarer.DeclareQueue(ctx, topic, "billing")
}

// taken empties the stream.
func (t *redisTarget) taken(ctx context.Context, topic string, _ int) (int, error) {
	n, err := t.client.Do(ctx, t.client.B().Xlen().Key(redisStream(topic)).Build()).AsInt64()
	if err != nil {
		return 0, err
	}
	trim := t.client.B().Xtrim().Key(redisStream(topic)).Maxlen().Threshold("0").Build()
	return int(n), t.client.Do(ctx, trim).Error()
}

func (t *redisTarget) add(topic string) (rueidis.Completed, error) {
	data, err := body()
	c := t.client.B().Xadd().Key(redisStream(topic)).Id("*").FieldValue().FieldValue("b", rueidis.BinaryString(data)).
		FieldValue("k", sample.Key)
	for _, h := range headers {
		c = c.FieldValue("h:"+h.Name, h.Value)
	}
	return c.Build(), err
}

func (t *redisTarget) send(ctx context.Context, topic string) error {
	c, err := t.add(topic)
	if err != nil {
		return err
	}
	return t.client.Do(ctx, c).Error()
}

func (t *redisTarget) sendAll(ctx context.Context, topic string, n int) error {
	commands := make(rueidis.Commands, n)
	for i := range commands {
		var err error
		if commands[i], err = t.add(topic); err != nil {
			return err
		}
	}
	var errs []error
	for _, result := range t.client.DoMulti(ctx, commands...) {
		errs = append(errs, result.Error())
	}
	return errors.Join(errs...)
}

func (t *redisTarget) watermill(b *measure.Bench, topic string) (func() error, error) {
	options, err := goredis.ParseURL(t.url)
	if err != nil {
		return nil, err
	}
	client := goredis.NewClient(options)
	b.Cleanup(client.Close)
	p, err := redisstream.NewPublisher(redisstream.PublisherConfig{Client: keptOpen{client}}, watermill.NopLogger{})
	if err != nil {
		return nil, err
	}
	return publisher(b, redisStream(topic), p), nil
}

// keptOpen is closed by whoever made it, not by Watermill.
type keptOpen struct{ goredis.UniversalClient }

// Close does nothing.
func (keptOpen) Close() error { return nil }

// stream takes up to 64 messages ahead, as ours with Concurrency(64), and acknowledges
// them together.
func (t *redisTarget) stream(ctx context.Context, b *measure.Bench, topic string, handle func([]byte) error) error {
	create := t.client.B().XgroupCreate().Key(redisStream(topic)).Group("bare").Id("0").Mkstream().Build()
	if err := t.client.Do(ctx, create).Error(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- t.read(ctx, redisStream(topic), handle) }()
	b.Cleanup(func() error {
		cancel()
		return <-ended
	})
	return nil
}

func (t *redisTarget) read(ctx context.Context, stream string, handle func([]byte) error) error {
	for {
		read := t.client.B().Xreadgroup().Group("bare", "one").Count(64).Block(1000).Streams().Key(stream).Id(">").Build()
		entries, err := t.client.Do(ctx, read).AsXRead()
		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // the end of the run
		case rueidis.IsRedisNil(err):
			continue // none within a second
		case err != nil:
			return err
		}
		ack := t.client.B().Xack().Key(stream).Group("bare").Id()
		for _, e := range entries[stream] {
			if err := handle([]byte(e.FieldValues["b"])); err != nil {
				return err
			}
			ack = ack.Id(e.ID)
		}
		if err := t.client.Do(ctx, ack.Build()).Error(); err != nil && ctx.Err() == nil {
			return err
		}
	}
}
