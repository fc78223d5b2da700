package broker

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Limits of keys and headers.
const (
	MaxKeyBytes         = 255
	MaxHeaderNameBytes  = 255
	MaxHeaderValueBytes = 32 << 10
	MaxHeaderEntries    = 128
	MaxHeaderBytes      = 64 << 10
)

// headerBudget is how much a message may carry.
type headerBudget struct{ entries, bytes int }

var (
	headerLimits = headerBudget{MaxHeaderEntries, MaxHeaderBytes}

	// poisonLimits leave room for what the engine adds to a dead letter.
	poisonLimits = headerBudget{MaxHeaderEntries + 8, MaxHeaderBytes + 4<<10}
)

func (b headerBudget) check(m *Message) error {
	if len(m.Key) > MaxKeyBytes {
		return fmt.Errorf("%w: the key has %d bytes, more than %d", ErrInvalidHeader, len(m.Key), MaxKeyBytes)
	}
	if !utf8.ValidString(m.Key) {
		return fmt.Errorf("%w: the key is not UTF-8", ErrInvalidHeader)
	}
	if len(m.Header) > b.entries {
		return fmt.Errorf("%w: %d entries, more than %d", ErrInvalidHeader, len(m.Header), b.entries)
	}
	total := 0
	for name, value := range m.Header {
		if fault := headerFault(name, value); fault != "" {
			return fmt.Errorf("%w %.64q: %s", ErrInvalidHeader, name, fault)
		}
		total += len(name) + len(value)
	}
	if total > b.bytes {
		return fmt.Errorf("%w: %d bytes in all, more than %d", ErrInvalidHeader, total, b.bytes)
	}
	return nil
}

func headerFault(name, value string) string {
	switch {
	case name == "":
		return "the name is empty"
	case len(name) > MaxHeaderNameBytes:
		return fmt.Sprintf("the name has %d bytes, more than %d", len(name), MaxHeaderNameBytes)
	case len(value) > MaxHeaderValueBytes:
		return fmt.Sprintf("the value has %d bytes, more than %d", len(value), MaxHeaderValueBytes)
	case !utf8.ValidString(name):
		return "the name is not UTF-8"
	case !utf8.ValidString(value):
		return "the value is not UTF-8"
	default:
		return ""
	}
}

// carrier is the header that holds those that the transport cannot carry
// exactly: base64url of name and value in turn, each behind its length as a
// uvarint. Names of the engine's own that a user sends travel in it too, so
// that they arrive and mean nothing on the way.
const carrier = "micro-headers"

// encodeHeaders returns m, or a copy whose header the transport carries exactly.
func encodeHeaders(m *Message, support HeaderSupport) *Message {
	var packed []byte
	for name, value := range m.Header {
		if !support.carries(name, value) {
			packed = appendEntry(packed, name, value)
		}
	}
	if packed == nil {
		return m
	}
	header := make(Header, len(m.Header))
	for name, value := range m.Header {
		if support.carries(name, value) {
			header[name] = value
		}
	}
	header[carrier] = base64.RawURLEncoding.EncodeToString(packed)
	return &Message{Key: m.Key, Header: header, Body: m.Body}
}

func appendEntry(packed []byte, name, value string) []byte {
	for _, s := range []string{name, value} {
		packed = append(binary.AppendUvarint(packed, uint64(len(s))), s...)
	}
	return packed
}

// decodeHeaders undoes encodeHeaders, in place.
func decodeHeaders(h Header) error {
	value, ok := h[carrier]
	if !ok {
		return nil
	}
	packed, err := base64.RawURLEncoding.DecodeString(value)
	if err != nil {
		return fmt.Errorf("%w %q: %w", ErrInvalidHeader, carrier, err)
	}
	delete(h, carrier)
	for len(packed) > 0 {
		var name, value string
		if name, packed, err = cutEntry(packed); err == nil {
			value, packed, err = cutEntry(packed)
		}
		if err != nil {
			return fmt.Errorf("%w %q: %w", ErrInvalidHeader, carrier, err)
		}
		h[name] = value
	}
	return nil
}

func cutEntry(packed []byte) (string, []byte, error) {
	n, size := binary.Uvarint(packed)
	if size <= 0 || n > uint64(len(packed)-size) {
		return "", nil, errors.New("it is cut short")
	}
	end := size + int(n)
	return string(packed[size:end]), packed[end:], nil
}

// carries reports whether the transport carries a header exactly.
func (s HeaderSupport) carries(name, value string) bool {
	if name == carrier || name == redriveHeader {
		return false
	}
	if s == HeadersExact {
		return true
	}
	for i := range len(name) {
		if c := name[i]; !isTokenByte(c) || s == HeadersPrintableLower && 'A' <= c && c <= 'Z' {
			return false
		}
	}
	return isPrintable(value)
}

func isTokenByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}

func isPrintable(value string) bool {
	for i := range len(value) {
		if c := value[i]; c < ' ' || c > '~' {
			return false
		}
	}
	return value == "" || value[0] != ' ' && value[len(value)-1] != ' '
}
