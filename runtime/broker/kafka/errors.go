package kafkabroker

import (
	"errors"
	"fmt"
	"net"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/micro-event/micro-event/runtime/broker"
)

// publishFault says what a failure of the producer means for the message. What is
// not listed leaves it uncertain.
func publishFault(err error) error {
	if err == nil {
		return nil
	}
	for _, f := range publishFaults {
		if errors.Is(err, f.cause) {
			return f.verdict(err)
		}
	}
	return err
}

var publishFaults = []struct {
	cause   error
	verdict func(error) error
}{
	{kerr.UnknownTopicOrPartition, because(broker.ErrNoSubscribers, broker.NotDelivered)},
	{kerr.UnknownTopicID, because(broker.ErrNoSubscribers, broker.NotDelivered)},
	{kerr.MessageTooLarge, because(broker.ErrTooLarge, broker.Rejected)},
	{kerr.RecordListTooLarge, because(broker.ErrTooLarge, broker.Rejected)},
	{kerr.InvalidTopicException, because(broker.ErrInvalidTopic, broker.Rejected)},
	{kerr.InvalidRecord, broker.Rejected},
	{kerr.InvalidTimestamp, broker.Rejected},
	{kerr.PolicyViolation, broker.Rejected},
	{kerr.UnsupportedForMessageFormat, broker.Rejected},
	{kerr.UnsupportedCompressionType, broker.Rejected},
	// Others can mend these, so the message is not to blame.
	{kerr.TopicAuthorizationFailed, broker.NotDelivered},
	{kerr.ClusterAuthorizationFailed, broker.NotDelivered},
	{kerr.SaslAuthenticationFailed, broker.NotDelivered},
	{kerr.NotEnoughReplicas, broker.NotDelivered},
}

// because puts a cause of package broker before what mark marks.
func because(cause error, mark func(error) error) func(error) error {
	return func(err error) error { return mark(fmt.Errorf("%w: %w", cause, err)) }
}

// passes reports whether the client is going to try again by itself after err. It
// is then no news for the engine, whose backoff would outlast the fault; that the
// link is lost is told by other means.
func passes(err error) bool {
	return err == nil || kerr.IsRetriable(err) || kgo.IsRetryableBrokerErr(err) || isDialError(err)
}

func isDialError(err error) bool {
	_, ok := errors.AsType[*net.OpError](err)
	return ok
}
