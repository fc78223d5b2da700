package broker

import "fmt"

// MaxTopicBytes is the longest topic that every broker can carry.
const MaxTopicBytes = 200

// CheckTopic reports why a topic is not valid, as an error that matches
// [ErrInvalidTopic], or nil. A topic is one or more segments of letters, digits,
// "_" and "-", joined by single dots, at most [MaxTopicBytes] long. Queue names
// follow the same grammar.
func CheckTopic(topic string) error {
	if reason := topicFault(topic); reason != "" {
		return fmt.Errorf("%w %q: %s", ErrInvalidTopic, topic, reason)
	}
	return nil
}

func topicFault(topic string) string {
	switch {
	case topic == "":
		return "it is empty"
	case len(topic) > MaxTopicBytes:
		return fmt.Sprintf("it has %d bytes, more than %d", len(topic), MaxTopicBytes)
	case topic[0] == '.' || topic[len(topic)-1] == '.':
		return "it begins or ends with a dot"
	}
	for i := range len(topic) {
		switch c := topic[i]; {
		case c == '.':
			if topic[i-1] == '.' {
				return "it has two dots in a row"
			}
		case !isTopicByte(c):
			return "it may contain only letters, digits, '_', '-' and '.'"
		}
	}
	return ""
}

func isTopicByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '-'
}
