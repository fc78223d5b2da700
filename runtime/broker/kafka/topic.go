package kafkabroker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/micro-event/micro-event/runtime/broker"
)

// pollInterval is how often that is asked for again which the servers do not know
// yet.
const pollInterval = 20 * time.Millisecond

// groupOf is the consumer group of a queue. Neither name has a colon.
func groupOf(topic, queue string) string { return queue + ":" + topic }

// Declare implements [broker.Driver]. A queue exists once its offsets are
// committed.
//
// The ends are read before the committed offsets: then two who declare a queue at
// once cannot commit an end that lies behind a message that was published after
// one of them had returned.
func (d *driver) Declare(ctx context.Context, topic, queue string) error {
	s := d.session.Load()
	if s == nil {
		return broker.ErrClosed
	}
	ends, err := d.ends(ctx, s.admin, topic)
	if err != nil {
		return err
	}
	group := groupOf(topic, queue)
	committed, err := committedOffsets(ctx, s.admin, group)
	if err != nil {
		return err
	}
	ends.DeleteFunc(func(o kadm.Offset) bool {
		c, ok := committed.Lookup(topic, o.Partition)
		return ok && c.At >= 0
	})
	if len(ends[topic]) == 0 {
		return nil
	}
	return commitFirst(ctx, s.admin, group, ends)
}

// committedOffsets returns what a group has committed, which is nothing when there
// is no such group.
func committedOffsets(ctx context.Context, admin *kadm.Client, group string) (offsets kadm.OffsetResponses, err error) {
	err = patiently(ctx, func() error {
		offsets, err = admin.FetchOffsets(ctx, group)
		return err
	})
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
		return nil, fmt.Errorf("fetch offsets of group %q: %w", group, err)
	}
	return offsets, nil
}

// commitFirst commits where a queue begins. A group that has members by now has
// been declared by them.
func commitFirst(ctx context.Context, admin *kadm.Client, group string, ends kadm.Offsets) error {
	err := patiently(ctx, func() error {
		done, err := admin.CommitOffsets(ctx, group, ends)
		if err != nil {
			return err
		}
		return done.Error()
	})
	if err != nil && !errors.Is(err, kerr.UnknownMemberID) {
		return fmt.Errorf("commit offsets of group %q: %w", group, err)
	}
	return nil
}

// patiently repeats do while it fails with what passes, such as a coordinator
// that has not been chosen yet, until ctx ends.
func patiently(ctx context.Context, do func() error) error {
	poll := time.NewTicker(pollInterval)
	defer poll.Stop()
	for {
		err := do()
		if err == nil || !kerr.IsRetriable(err) {
			return err
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), err)
		}
	}
}

// ends returns the end of each partition of a topic, which it provides for.
// Without the topic, which the policy Off allows, there are none.
func (d *driver) ends(ctx context.Context, admin *kadm.Client, topic string) (kadm.Offsets, error) {
	ends, err := listEnds(ctx, admin, topic)
	if !errors.Is(err, kerr.UnknownTopicOrPartition) {
		return ends, err
	}
	switch d.config.policy {
	case Off:
		return nil, nil
	case Verify:
		return nil, fmt.Errorf("%w (topics are not created: option Provision)", err)
	default:
		_, err := admin.CreateTopic(ctx, d.config.partitions, d.config.replicas, nil, topic)
		switch {
		case errors.Is(err, kerr.InvalidTopicException): // such as one that differs by "." and "_" only
			return nil, fmt.Errorf("create topic: %w: %w", broker.ErrInvalidTopic, err)
		case err != nil && !errors.Is(err, kerr.TopicAlreadyExists):
			return nil, fmt.Errorf("create topic: %w", err)
		}
		return awaitEnds(ctx, admin, topic)
	}
}

// awaitEnds waits until the servers know a topic that was just created.
func awaitEnds(ctx context.Context, admin *kadm.Client, topic string) (ends kadm.Offsets, err error) {
	err = patiently(ctx, func() error {
		ends, err = listEnds(ctx, admin, topic)
		return err
	})
	return ends, err
}

func listEnds(ctx context.Context, admin *kadm.Client, topic string) (kadm.Offsets, error) {
	listed, err := admin.ListEndOffsets(ctx, topic)
	if err == nil {
		err = listed.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("list offsets: %w", err)
	}
	return listed.Offsets(), nil
}
