package broker

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Headers of a dead letter, beside those of the message.
const (
	DeadLetterTopicHeader    = "micro-dead-letter-topic"    // topic it was published to
	DeadLetterQueueHeader    = "micro-dead-letter-queue"    // queue it failed in, empty for none
	DeadLetterCauseHeader    = "micro-dead-letter-cause"    // text of the last error, at most 1 KiB
	DeadLetterAttemptsHeader = "micro-dead-letter-attempts" // failed attempts, decimal
	DeadLetterReceivedHeader = "micro-dead-letter-received" // when this member first had it, or up to 0.2 s before, RFC 3339 UTC
	DeadLetterTimeHeader     = "micro-dead-letter-time"     // when it was given up, RFC 3339 UTC
)

// tenths is RFC 3339, no more exact than the clock of a subscription.
const tenths = "2006-01-02T15:04:05.0Z07:00"

const maxCauseBytes = 1 << 10

// giveUp dead-letters an item, or drops it by name where there is no dead
// letter. During a drain it goes back instead.
func (s *subscription) giveUp(it *item, cause error) {
	if s.draining() {
		s.finish(it, GiveBack, nil)
		return
	}
	it.poison = cause
	if s.options.DeadLetter != "" {
		s.bury(it)
		return
	}
	var r Record
	_ = s.load(it, &r) //nolint:errcheck // the hook gets what could be read
	s.settings.hooks.Dropped(s.poisonInfo(it, &r))
	s.finish(it, Reject, cause)
}

func (s *subscription) draining() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stopping
}

// bury publishes an item to its dead-letter topic and then acknowledges it. If
// that fails, only that is repeated.
func (s *subscription) bury(it *item) {
	if s.draining() {
		s.finish(it, GiveBack, nil)
		return
	}
	var r Record
	_ = s.load(it, &r) //nolint:errcheck // a message that cannot be decoded is buried as far as it could be
	r.Header = s.withPoisonHeaders(it, r.Header)
	if err := s.engine.send(s.ctx, s.options.DeadLetter, &r, PublishOptions{}, poisonLimits); err != nil {
		it.burials++
		delay := backoff(s.options.BackoffMin, s.options.BackoffMax, it.burials)
		s.settings.logger.Error("broker: dead letter not published; will try again",
			"topic", s.topic, "queue", s.options.Queue, "dead_letter", s.options.DeadLetter,
			"key", it.raw.Key, "error", err, "retry_in", delay)
		s.park(it, delay)
		return
	}
	s.settings.hooks.DeadLettered(s.poisonInfo(it, &r))
	s.finish(it, Ack, it.poison)
}

func (s *subscription) poisonInfo(it *item, r *Record) PoisonInfo {
	m := r.Message()
	return PoisonInfo{
		Topic: s.topic, Queue: s.options.Queue, DeadLetter: s.options.DeadLetter,
		Message: &m, Attempts: it.raw.Failures, Err: it.poison,
	}
}

// poisonHeaders are the names that a dead letter adds.
var poisonHeaders = []string{
	DeadLetterTopicHeader, DeadLetterQueueHeader, DeadLetterCauseHeader,
	DeadLetterAttemptsHeader, DeadLetterReceivedHeader, DeadLetterTimeHeader,
}

func (s *subscription) withPoisonHeaders(it *item, header []Field) []Field {
	return append(without(header, poisonHeaders...),
		Field{DeadLetterTopicHeader, s.topic},
		Field{DeadLetterQueueHeader, s.options.Queue},
		Field{DeadLetterCauseHeader, causeText(it.poison)},
		Field{DeadLetterAttemptsHeader, strconv.Itoa(it.raw.Failures)},
		Field{DeadLetterReceivedHeader, s.clock.time(it.received).UTC().Format(tenths)},
		Field{DeadLetterTimeHeader, time.Now().UTC().Format(time.RFC3339Nano)},
	)
}

// causeText is the text of an error, short enough for a header.
func causeText(err error) string {
	text := strings.ToValidUTF8(err.Error(), "\uFFFD")
	if len(text) <= maxCauseBytes {
		return text
	}
	cut := maxCauseBytes
	for !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut]
}

// redriveHeader names the queue that a redriven message is for; the others
// acknowledge it unseen.
const redriveHeader = "micro-redrive-queue"
