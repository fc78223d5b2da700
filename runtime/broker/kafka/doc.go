// Package kafkabroker is a [broker.Broker] over Apache Kafka.
//
//	b := kafkabroker.New("kafka://kafka-1:9092,kafka-2:9092")
//
// # Delivery
//
// Nil from Publish means that all in-sync replicas have the message; the
// producer is idempotent. Messages of one key lie in one partition, the one that
// the Java client chooses too, and are handled in their order by one member of a
// queue at a time. Messages without a key are spread over the partitions and so
// have no order among each other.
//
// A queue of a topic is the consumer group "<queue>:<topic>". It exists from the
// moment at which its offsets were first committed, which Subscribe and
// DeclareQueue do; Kafka forgets them when a queue has had no member for
// offsets.retention.minutes, seven days by default. Offsets are committed once a
// second, up to the first message that is not yet handled, and when partitions
// move or a subscription ends. So a member that dies has at most a second's worth
// of handled messages, and those that were handled ahead of an earlier one,
// handled again.
//
// When partitions move to another member, those of their messages that have not
// started are dropped here, and the partitions are handed over when the running
// handlers have returned, at the latest after [RebalanceTimeout].
//
// A subscription without a queue reads the partitions that there are when it
// begins, from their end, without a group.
//
// # Topics
//
// Subscribe and DeclareQueue create topics that do not exist, with the
// partitions and replicas that the servers have as their defaults or that
// [NewTopics] says; [Provision] says otherwise. Publish creates none: a topic that
// does not exist has no queue, and Publish returns [broker.ErrNoSubscribers].
//
// # On the wire
//
// Headers travel in the form of the CloudEvents binding for Kafka: ce-id is the
// record header ce_id and content-type is content-type. An event gets the header
// ce_specversion, which receiving takes off again. Header names that begin with
// ce_ themselves travel behind "micro-literal-". An empty body is an empty value and
// never the null that deletes a key from a compacted topic.
package kafkabroker
