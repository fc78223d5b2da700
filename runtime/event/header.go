package event

import (
	"fmt"
	"slices"
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

const (
	attributePrefix   = "ce-"
	specVersion       = "1.0"
	maxAttributeBytes = 20 // CloudEvents 1.0, section 3.1: SHOULD NOT exceed
)

// checkAttribute reports why users may not set the attribute name.
func checkAttribute(name string) error {
	reason := ""
	switch {
	case name == "":
		reason = "the name of the attribute is empty"
	case len(name) > maxAttributeBytes:
		reason = fmt.Sprintf("the name of the attribute has more than %d characters", maxAttributeBytes)
	case strings.ContainsFunc(name, func(r rune) bool { return !('a' <= r && r <= 'z' || '0' <= r && r <= '9') }):
		reason = "the name of an attribute may contain only lower-case letters and digits"
	case slices.Contains(ownAttributes, name):
		reason = "the attribute is not free to set"
	default:
		return nil
	}
	return &HeaderError{attributePrefix + name, reason}
}

// ownAttributes are written by the client or by the binding of a broker.
var ownAttributes = []string{"id", "source", "type", "time", "specversion", "datacontenttype", "data", "partitionkey"}

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
	return &HeaderError{name, reason}
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

// headers are those of one event. There are few, so that looking one up in a
// list takes less than in a map.
type headers []broker.Field

func headersOf(h broker.Header) headers {
	list := make(headers, 0, len(h))
	for name, value := range h {
		list = append(list, broker.Field{Name: name, Value: value})
	}
	return list
}

// set replaces the value of the header name, or adds it.
func (h *headers) set(name, value string) {
	for i := range *h {
		if (*h)[i].Name == name {
			(*h)[i].Value = value
			return
		}
	}
	*h = append(*h, broker.Field{Name: name, Value: value})
}

// has reports whether there is a header in exactly this spelling.
func (h headers) has(name string) bool {
	return slices.ContainsFunc(h, func(f broker.Field) bool { return f.Name == name })
}

// get returns the value of the header name, which is in lower case, whatever its
// case in h. Of several spellings the one in lower case counts, then the first
// in the order of bytes.
func (h headers) get(name string) string {
	found := -1
	for i := range h {
		if len(h[i].Name) != len(name) {
			continue
		}
		if h[i].Name == name {
			return h[i].Value
		}
		if strings.EqualFold(h[i].Name, name) && (found < 0 || h[i].Name < h[found].Name) {
			found = i
		}
	}
	if found < 0 {
		return ""
	}
	return h[found].Value
}
