package redisbroker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"github.com/micro-event/micro-event/runtime/broker"
)

// batchSize is how many messages of a batch are on their way at once.
const batchSize = 512

// A server that cannot store now is asked again after pauses that double between
// these.
const (
	lowestWait  = 10 * time.Millisecond
	highestWait = 500 * time.Millisecond
)

// Publish implements [broker.Driver].
func (d *driver) Publish(ctx context.Context, topic string, r *broker.Record, o broker.PublishOptions) error {
	for attempt := 0; ; attempt++ {
		if err := d.link.await(ctx); err != nil {
			return err
		}
		err := d.outcome(d.client.Do(ctx, d.add(topic, r)).Error())
		if !again(err, o) {
			return err
		}
		if ended := d.link.pause(ctx, min(highestWait, lowestWait<<min(attempt, 10))); ended != nil {
			return broker.NotDelivered(fmt.Errorf("%w: %w", ended, err))
		}
	}
}

// PublishBatch implements [broker.BatchPublisher]. Messages that the server cannot
// take for now fail, since those behind them have been sent by then.
func (d *driver) PublishBatch(ctx context.Context, topic string, rs []*broker.Record, _ broker.PublishOptions) []error {
	errs := make([]error, 0, len(rs))
	commands := make(rueidis.Commands, 0, min(len(rs), batchSize))
	for len(rs) > 0 {
		n := min(len(rs), batchSize)
		if err := d.link.await(ctx); err != nil {
			for range n {
				errs = append(errs, err)
			}
			rs = rs[n:]
			continue
		}
		commands = commands[:0]
		for _, r := range rs[:n] {
			commands = append(commands, d.add(topic, r))
		}
		for _, result := range d.client.DoMulti(ctx, commands...) {
			errs = append(errs, d.outcome(result.Error()))
		}
		rs = rs[n:]
	}
	return errs
}

// again reports whether the message was certainly not taken and may be later.
func again(err error, o broker.PublishOptions) bool {
	if errors.Is(err, broker.ErrBackpressure) {
		return !o.NoWait
	}
	return errors.Is(err, errNotNow) || unsent(err)
}

// errNotNow is an answer of a server that is starting or being replaced.
var errNotNow = errors.New("the server does not take commands for now")

// notNow begin the answers of such servers, which have done nothing.
var notNow = []string{"LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "BUSY ", "NOREPLICAS"}

// outcome says what became of a message.
func (d *driver) outcome(err error) error {
	d.link.doubt(err)
	answer, answered := rueidis.IsRedisErr(err)
	switch {
	case err == nil:
		return nil
	case rueidis.IsRedisNil(err):
		return broker.NotDelivered(broker.ErrNoSubscribers)
	case unsent(err):
		return broker.NotDelivered(fmt.Errorf("%w: %w", broker.ErrNotConnected, err))
	case !answered:
		return err
	case strings.HasPrefix(answer.Error(), "OOM"):
		return broker.NotDelivered(fmt.Errorf("%w: %w", broker.ErrBackpressure, err))
	case isNotNow(answer):
		return broker.NotDelivered(fmt.Errorf("%w: %w", errNotNow, err))
	default:
		return broker.Rejected(err)
	}
}

func isNotNow(answer *rueidis.RedisError) bool {
	for _, prefix := range notNow {
		if strings.HasPrefix(answer.Error(), prefix) {
			return true
		}
	}
	return false
}
