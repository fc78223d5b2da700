package kafkabroker

import (
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/micro-event/micro-event/runtime/broker"
)

const (
	attributePrefix = "ce-" // of CloudEvents attributes, in messages
	bindingPrefix   = "ce_" // and in records

	// literalPrefix begins record headers whose names would mean something else.
	literalPrefix = "micro-literal-"

	specVersion       = "ce-specversion"
	boundSpecVersion  = "ce_specversion"
	boundSpecVersion1 = "1.0"
)

// wellKnown are the attributes that events have, in messages and in records, so
// that no name needs to be made for them.
var wellKnown = [...]struct{ attribute, bound string }{
	{"ce-id", "ce_id"},
	{"ce-type", "ce_type"},
	{"ce-source", "ce_source"},
	{"ce-time", "ce_time"},
	{"ce-subject", "ce_subject"},
	{"ce-dataschema", "ce_dataschema"},
}

// required is how many of wellKnown, the first ones, every event has.
const required = 3

// boundName returns the name that a header has in a record.
func boundName(name string) string {
	switch {
	case strings.HasPrefix(name, attributePrefix):
		for i := range wellKnown {
			if name == wellKnown[i].attribute {
				return wellKnown[i].bound
			}
		}
		return bindingPrefix + name[len(attributePrefix):]
	case strings.HasPrefix(name, bindingPrefix), strings.HasPrefix(name, literalPrefix):
		return literalPrefix + name
	default:
		return name
	}
}

// messageName undoes boundName.
func messageName(bound string) string {
	switch {
	case strings.HasPrefix(bound, bindingPrefix):
		for i := range wellKnown {
			if bound == wellKnown[i].bound {
				return wellKnown[i].attribute
			}
		}
		return attributePrefix + bound[len(bindingPrefix):]
	case strings.HasPrefix(bound, literalPrefix):
		return bound[len(literalPrefix):]
	default:
		return bound
	}
}

// appendBound appends the headers of r as records have them. Their values lie in
// arena, which must have room for them.
func appendBound(headers []kgo.RecordHeader, arena []byte, r *broker.Record) ([]kgo.RecordHeader, []byte) {
	attributes, versioned := 0, false
	for i := range r.Header {
		f := &r.Header[i]
		name := boundName(f.Name)
		switch {
		case f.Name == specVersion:
			if versioned = true; f.Value == boundSpecVersion1 { // or it would be taken for the binding's
				headers = append(headers, kgo.RecordHeader{Key: boundSpecVersion, Value: []byte(boundSpecVersion1)})
				name = literalPrefix + specVersion
			}
		case isRequired(name):
			attributes++
		}
		start := len(arena)
		arena = append(arena, f.Value...)
		headers = append(headers, kgo.RecordHeader{Key: name, Value: slices.Clip(arena[start:])})
	}
	if attributes == required && !versioned {
		start := len(arena)
		arena = append(arena, boundSpecVersion1...)
		headers = append(headers, kgo.RecordHeader{Key: boundSpecVersion, Value: slices.Clip(arena[start:])})
	}
	return headers, arena
}

func isRequired(bound string) bool {
	for i := range required {
		if bound == wellKnown[i].bound {
			return true
		}
	}
	return false
}

// fieldsOf returns the headers of a record as messages have them. Of those of one
// name the last one counts.
func fieldsOf(headers []kgo.RecordHeader) []broker.Field {
	if len(headers) == 0 {
		return nil
	}
	values := joinValues(headers)
	fields := make([]broker.Field, 0, len(headers))
	for i := range headers {
		h := &headers[i]
		var value string
		value, values = values[:len(h.Value)], values[len(h.Value):]
		if h.Key == boundSpecVersion && value == boundSpecVersion1 {
			continue
		}
		fields = set(fields, messageName(h.Key), value)
	}
	return fields
}

// joinValues returns all values in one string, which costs one allocation.
func joinValues(headers []kgo.RecordHeader) string {
	total := 0
	for i := range headers {
		total += len(headers[i].Value)
	}
	var values strings.Builder
	values.Grow(total)
	for i := range headers {
		values.Write(headers[i].Value)
	}
	return values.String()
}

func set(fields []broker.Field, name, value string) []broker.Field {
	for i := range fields {
		if fields[i].Name == name {
			fields[i].Value = value
			return fields
		}
	}
	return append(fields, broker.Field{Name: name, Value: value})
}
