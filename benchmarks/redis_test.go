package benchmarks

import (
	"errors"
	"testing"

	"github.com/redis/rueidis"

	redisbroker "github.com/micro-event/micro-event/runtime/broker/redis"
)

// BenchmarkRedis appends to a stream of a server that writes each command to its
// file before it answers.
func BenchmarkRedis(b *testing.B) {
	url, topic := server(b, "MICRO_EVENT_REDIS"), topic()
	br := connect(b, redisbroker.New(url))
	must(b, br.DeclareQueue(b.Context(), topic, "q"))
	options, err := rueidis.ParseURL(url)
	must(b, err)
	options.DisableCache = true
	client, err := rueidis.NewClient(options)
	must(b, err)
	b.Cleanup(client.Close)
	stream := "micro-event:{" + topic + "}"
	b.Cleanup(func() { client.Do(b.Context(), client.B().Del().Key(stream).Build()) })

	sync, async := ours(b, br, topic)
	raw := each("raw", func() error { return client.Do(b.Context(), redisAdd(client, stream)).Error() })
	b.Run("sync-1", func(b *testing.B) { measure(b, 1, raw, sync) })
	b.Run("sync-64", func(b *testing.B) { measure(b, 64, raw, sync) })
	b.Run("async", func(b *testing.B) {
		measure(b, 1, side{"raw", func(n int) error {
			commands := make(rueidis.Commands, n)
			for i := range commands {
				commands[i] = redisAdd(client, stream)
			}
			var errs []error
			for _, result := range client.DoMulti(b.Context(), commands...) {
				errs = append(errs, result.Error())
			}
			return errors.Join(errs...)
		}}, async)
	})
}

func redisAdd(client rueidis.Client, stream string) rueidis.Completed {
	c := client.B().Xadd().Key(stream).Id("*").FieldValue().FieldValue("b", rueidis.BinaryString(body)).
		FieldValue("k", key).FieldValue("h:content-type", contentType)
	for name, value := range attributes {
		c = c.FieldValue("h:ce-"+name, value)
	}
	return c.Build()
}
