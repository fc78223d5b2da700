package event

import (
	"crypto/rand"
	"encoding/hex"
	"time"
)

// entropy hands out random bytes from a buffer, since asking the system for
// each id costs more than the id. It is not safe for concurrent use.
type entropy struct {
	buffer [512]byte
	unread []byte
}

func (e *entropy) read(b []byte) {
	if len(e.unread) < len(b) {
		_, _ = rand.Read(e.buffer[:]) // never fails: it ends the program instead
		e.unread = e.buffer[:]
	}
	copy(b, e.unread)
	clear(e.unread[:len(b)])
	e.unread = e.unread[len(b):]
}

// appendUUIDv7 appends a UUID of version 7 (RFC 9562): 48 bits of milliseconds,
// 12 bits of their fraction (method 3 of section 6.2), 62 random bits. Ids that
// are made one after the other sort in that order, down to 244 ns.
func appendUUIDv7(b []byte, now time.Time, e *entropy) []byte {
	const perMilli = int64(time.Millisecond)
	milli, nano := now.UnixMilli(), int64(now.Nanosecond())%perMilli
	fraction := nano << 12 / perMilli
	u := [16]byte{
		byte(milli >> 40), byte(milli >> 32), byte(milli >> 24), byte(milli >> 16), byte(milli >> 8), byte(milli),
		0x70 | byte(fraction>>8), byte(fraction),
	}
	e.read(u[8:])
	u[8] = u[8]&0x3f | 0x80
	b = append(hex.AppendEncode(b, u[:4]), '-')
	b = append(hex.AppendEncode(b, u[4:6]), '-')
	b = append(hex.AppendEncode(b, u[6:8]), '-')
	b = append(hex.AppendEncode(b, u[8:10]), '-')
	return hex.AppendEncode(b, u[10:])
}
