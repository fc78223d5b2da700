package event

import (
	"fmt"
	"strings"

	"github.com/micro-event/micro-event/runtime/broker"
)

// Headers of an event: the attributes of CloudEvents 1.0 in binary mode. The
// binding of a broker writes specversion and partitionkey, so that they are in
// no message here.
const (
	headerID          = "ce-id"
	headerSource      = "ce-source"
	headerType        = "ce-type"
	headerTime        = "ce-time"
	headerSpecVersion = "ce-specversion"
	headerContentType = "content-type"
)

const specVersion = "1.0"

// checkHeaderName reports why users may not set the header name, which is in
// lower case.
func checkHeaderName(name string) error {
	reason := ""
	switch {
	case name == "":
		reason = "the name is empty"
	case len(name) > broker.MaxHeaderNameBytes:
		reason = fmt.Sprintf("the name has %d bytes, more than %d", len(name), broker.MaxHeaderNameBytes)
	case strings.IndexFunc(name, notToken) >= 0:
		reason = "a name may contain only letters, digits and !#$%&'*+-.^_`|~"
	case isReserved(name):
		reason = "the name is reserved"
	default:
		return nil
	}
	return fmt.Errorf("%w %q: %s", ErrInvalidHeader, name, reason)
}

func notToken(r rune) bool {
	return !('a' <= r && r <= 'z' || '0' <= r && r <= '9' || strings.ContainsRune("!#$%&'*+-.^_`|~", r))
}

// isReserved reports whether this package or a binding writes the header
// itself. Traceparent, tracestate and baggage are reserved in the schema only:
// code that carries a trace on has to set them.
func isReserved(name string) bool {
	return name == headerContentType ||
		strings.HasPrefix(name, "ce-") ||
		strings.HasPrefix(name, "ce_") ||
		strings.HasPrefix(name, "cloudevents") ||
		strings.HasPrefix(name, "micro-")
}

// lookup returns the value of the header name, which is in lower case, whatever
// the case of the name in h. Of several spellings the one in lower case counts,
// then the first in the order of bytes.
func lookup(h broker.Header, name string) string {
	if v, ok := h[name]; ok {
		return v
	}
	found, value := "", ""
	for n, v := range h {
		if strings.EqualFold(n, name) && (found == "" || n < found) {
			found, value = n, v
		}
	}
	return value
}
