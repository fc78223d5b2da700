package broker

import "maps"

// Message is what travels through a broker: opaque bytes, headers, and a key
// that orders and partitions.
type Message struct {
	// Key orders messages: those of one key that are published one after the
	// other reach every queue in that order and never overlap within a member.
	// Empty means no key and no order. At most 255 bytes of UTF-8.
	Key string

	// Header arrives exactly as it was sent: nothing is added, lost, recased or
	// merged.
	Header Header

	// Body is opaque. A broker's Options.MaxMessageBytes limits its size.
	Body []byte
}

// Clone returns a copy that shares nothing with m.
func (m *Message) Clone() Message {
	c := Message{Key: m.Key, Header: maps.Clone(m.Header)}
	if m.Body != nil {
		c.Body = append(make([]byte, 0, len(m.Body)), m.Body...)
	}
	return c
}

// Header holds the headers of a message. Names are case-sensitive here, and
// carried so by every broker; the event layer writes lower case.
//
// Limits, checked before any broker sees the message: names of 1 to 255 bytes,
// values of at most 32 KiB, 128 entries, 64 KiB in all, UTF-8 throughout. A
// violation is [ErrInvalidHeader].
type Header map[string]string
