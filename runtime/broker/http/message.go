package httpbroker

import (
	"fmt"
	"unicode/utf8"

	"github.com/micro-event/micro-event/runtime/broker"
)

// parseMessage reads a message. Its strings share one copy of all that lies
// before the body; list makes the list of its headers.
func parseMessage(b []byte, list func(headers int) []broker.Field) (message, error) {
	var m message
	text, headers, err := messageText(b)
	if err != nil {
		return m, err
	}
	if headers > 0 {
		m.record.Header = list(headers)
	}
	total := 0
	for at := 0; at < len(b); {
		num, value, next, err := cutField(b, at)
		if err != nil {
			return m, err
		}
		switch num {
		case messageID:
			m.id = value.of(text)
		case messageKey:
			m.record.Key = value.of(text)
		case messageHeader:
			field, err := parseHeader(b[value.from:value.to], text[value.from:value.to])
			if err != nil {
				return m, err
			}
			total += len(field.Name) + len(field.Value)
			m.record.Header = append(m.record.Header, field)
		case messageBody:
			m.record.Body = b[value.from:value.to:value.to]
		default: // a later version of the protocol
		}
		at = next
	}
	err = m.check(total)
	return m, err
}

// messageText returns a string of b as far as strings are to be read from it,
// and how many headers there are.
func messageText(b []byte) (string, int, error) {
	headers, end := 0, 0
	for at := 0; at < len(b); {
		num, _, next, err := cutField(b, at)
		if err != nil {
			return "", 0, err
		}
		switch num {
		case messageHeader:
			headers++
			end = next
		case messageID, messageKey:
			end = next
		default: // the body, or a later version of the protocol
		}
		at = next
	}
	if headers > maxHeaderEntries {
		return "", 0, fmt.Errorf("%w: %d headers, more than %d", errFrame, headers, maxHeaderEntries)
	}
	return string(b[:end]), headers, nil
}

func (m *message) check(headerBytes int) error {
	switch {
	case len(m.id) > maxIDBytes:
		return fmt.Errorf("%w: id of %d bytes", errFrame, len(m.id))
	case len(m.record.Key) > broker.MaxKeyBytes:
		return fmt.Errorf("%w: key of %d bytes", errFrame, len(m.record.Key))
	case headerBytes > maxHeaderBytes:
		return fmt.Errorf("%w: %d bytes of headers", errFrame, headerBytes)
	case !utf8.ValidString(m.id), !utf8.ValidString(m.record.Key):
		return fmt.Errorf("%w: id or key is not UTF-8", errFrame)
	}
	return nil
}

// parseHeader reads a header from b, whose text is a string of the same bytes.
func parseHeader(b []byte, text string) (broker.Field, error) {
	var f broker.Field
	for at := 0; at < len(b); {
		num, value, next, err := cutField(b, at)
		if err != nil {
			return f, err
		}
		switch num {
		case headerName:
			f.Name = value.of(text)
		case headerValue:
			f.Value = value.of(text)
		default: // a later version of the protocol
		}
		at = next
	}
	switch {
	case f.Name == "", len(f.Name) > broker.MaxHeaderNameBytes, len(f.Value) > maxHeaderBytes:
		return f, fmt.Errorf("%w: header of %d and %d bytes", errFrame, len(f.Name), len(f.Value))
	case !utf8.ValidString(f.Name), !utf8.ValidString(f.Value):
		return f, fmt.Errorf("%w: header is not UTF-8", errFrame)
	}
	return f, nil
}
