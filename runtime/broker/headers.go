package broker

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
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

// CheckRecord reports why no broker takes key and headers of r, as an error that
// matches [ErrInvalidHeader], or nil. The engine checks what is published through
// it; this is for drivers that take messages in by another door.
func CheckRecord(r *Record) error { return headerLimits.check(r) }

func (b headerBudget) check(r *Record) error {
	if len(r.Key) > MaxKeyBytes {
		return fmt.Errorf("%w: the key has %d bytes, more than %d", ErrInvalidHeader, len(r.Key), MaxKeyBytes)
	}
	if !utf8.ValidString(r.Key) {
		return fmt.Errorf("%w: the key is not UTF-8", ErrInvalidHeader)
	}
	if len(r.Header) > b.entries {
		return fmt.Errorf("%w: %d entries, more than %d", ErrInvalidHeader, len(r.Header), b.entries)
	}
	total := 0
	for i := range r.Header {
		f := &r.Header[i]
		total += len(f.Name) + len(f.Value)
		if f.isPlain() {
			continue
		}
		if fault := headerFault(f.Name, f.Value); fault != "" {
			return fmt.Errorf("%w %.64q: %s", ErrInvalidHeader, f.Name, fault)
		}
	}
	if total > b.bytes {
		return fmt.Errorf("%w: %d bytes in all, more than %d", ErrInvalidHeader, total, b.bytes)
	}
	return nil
}

// isPlain reports whether a header is valid at first sight, as nearly all are.
func (f *Field) isPlain() bool {
	return f.Name != "" && len(f.Name) <= MaxHeaderNameBytes && len(f.Value) <= MaxHeaderValueBytes &&
		isASCII(f.Name) && isASCII(f.Value)
}

// isASCII looks at eight or four bytes at a time, at the end at some of them again.
func isASCII(s string) bool {
	const high = 0x8080808080808080
	switch n := len(s); {
	case n >= 8:
		all := eight(s[n-8:])
		for ; len(s) > 8; s = s[8:] {
			all |= eight(s)
		}
		return all&high == 0
	case n >= 4:
		return (four(s)|four(s[n-4:]))&(high>>32) == 0
	default:
		var all byte
		for i := range n {
			all |= s[i]
		}
		return all < utf8.RuneSelf
	}
}

// eight returns the first eight bytes of s as a number. It compiles to one load.
func eight(s string) uint64 {
	_ = s[7]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

// four returns the first four bytes of s as a number. It compiles to one load.
func four(s string) uint64 {
	_ = s[3]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24
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

// mayHaveOwn reports at a glance whether one of the headers can be the engine's.
func mayHaveOwn(header []Field) bool {
	for i := range header {
		if n := len(header[i].Name); n == len(carrier) || n == len(redriveHeader) {
			return true
		}
	}
	return false
}

// encodeHeaders returns r, or a copy whose header the transport carries exactly.
func encodeHeaders(r *Record, support HeaderSupport) *Record {
	if support.carriesAll(r.Header) {
		return r
	}
	var packed []byte
	header := make([]Field, 0, len(r.Header)+1)
	for i := range r.Header {
		if f := &r.Header[i]; support.carries(f) {
			header = append(header, *f)
		} else {
			packed = appendEntry(packed, *f)
		}
	}
	header = append(header, Field{carrier, base64.RawURLEncoding.EncodeToString(packed)})
	return &Record{Key: r.Key, Header: header, Body: r.Body}
}

func appendEntry(packed []byte, f Field) []byte {
	for _, s := range []string{f.Name, f.Value} {
		packed = append(binary.AppendUvarint(packed, uint64(len(s))), s...)
	}
	return packed
}

// decodeHeaders undoes encodeHeaders. It leaves the list itself alone.
func decodeHeaders(header []Field) ([]Field, error) {
	at := slices.IndexFunc(header, func(f Field) bool { return f.Name == carrier })
	if at < 0 {
		return header, nil
	}
	packed, err := base64.RawURLEncoding.DecodeString(header[at].Value)
	if err != nil {
		return header, fmt.Errorf("%w %q: %w", ErrInvalidHeader, carrier, err)
	}
	decoded := slices.Delete(slices.Clone(header), at, at+1)
	for len(packed) > 0 {
		var f Field
		if f.Name, packed, err = cutEntry(packed); err == nil {
			f.Value, packed, err = cutEntry(packed)
		}
		if err != nil {
			return decoded, fmt.Errorf("%w %q: %w", ErrInvalidHeader, carrier, err)
		}
		decoded = append(decoded, f)
	}
	return decoded, nil
}

func cutEntry(packed []byte) (string, []byte, error) {
	n, size := binary.Uvarint(packed)
	if size <= 0 || n > uint64(len(packed)-size) {
		return "", nil, errors.New("it is cut short")
	}
	end := size + int(n)
	return string(packed[size:end]), packed[end:], nil
}

func (s HeaderSupport) carriesAll(header []Field) bool {
	if s == HeadersExact && !mayHaveOwn(header) {
		return true
	}
	for i := range header {
		if !s.carries(&header[i]) {
			return false
		}
	}
	return true
}

// carries reports whether the transport carries a header exactly.
func (s HeaderSupport) carries(f *Field) bool {
	if f.Name == carrier || f.Name == redriveHeader {
		return false
	}
	if s == HeadersExact {
		return true
	}
	for i := range len(f.Name) {
		if c := f.Name[i]; !isTokenByte(c) || s == HeadersPrintableLower && 'A' <= c && c <= 'Z' {
			return false
		}
	}
	return s == HeadersCloudEvents && strings.HasPrefix(f.Name, "ce-") || isPrintable(f.Value)
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
