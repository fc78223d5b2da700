package gen

import (
	"fmt"
	"slices"
	"strings"
)

const (
	maxHeaderNameBytes = 255
	headerRunesHint    = "a name has lower-case letters, digits and !#$%&'*+-.^_`|~"
	reservedHint       = "the runtime and CloudEvents use it: choose another name"
)

var (
	reservedHeaders  = []string{"content-type", "traceparent", "tracestate", "baggage"}
	reservedPrefixes = []string{"ce-", "ce_", "cloudevents", "micro-"}
)

// headerNameFault says what is wrong with the name of a header, and how to fix
// it. A name is a token of RFC 9110 without upper case, which every transport
// keeps as it is.
func headerNameFault(name string) (wrong, fix string) {
	if name == "" {
		return "the name is empty", "set name: " + headerRunesHint
	}
	if len(name) > maxHeaderNameBytes {
		return fmt.Sprintf("the name has %d bytes, more than %d", len(name), maxHeaderNameBytes), "choose a shorter one"
	}
	if i := strings.IndexFunc(name, func(r rune) bool { return !isHeaderRune(r) }); i >= 0 {
		return fmt.Sprintf("the name contains %q", []rune(name[i:])[0]), headerRunesHint
	}
	if slices.Contains(reservedHeaders, name) {
		return "the name is reserved", reservedHint
	}
	for _, prefix := range reservedPrefixes {
		if strings.HasPrefix(name, prefix) {
			return fmt.Sprintf("names that begin with %q are reserved", prefix), reservedHint
		}
	}
	return "", ""
}

func isHeaderRune(r rune) bool {
	return 'a' <= r && r <= 'z' || '0' <= r && r <= '9' || strings.ContainsRune("!#$%&'*+-.^_`|~", r)
}
