package event

import (
	"encoding/binary"
	"math/rand/v2"
	"time"
)

// appendUUIDv7 appends a UUID of version 7 (RFC 9562): 48 bits of milliseconds,
// 12 bits of their fraction (method 3 of section 6.2), 62 random bits. Ids that
// are made one after the other sort in that order, down to 244 ns.
//
// Ids are unique, not secret. The generator of the runtime is seeded by the
// system and costs a hundredth of what asking the system for each id would.
func appendUUIDv7(b []byte, now time.Time) []byte {
	const perMilli = int64(time.Millisecond)
	milli, nano := now.UnixMilli(), int64(now.Nanosecond())%perMilli
	fraction := nano << 12 / perMilli
	var u [16]byte
	binary.BigEndian.PutUint64(u[:], uint64(milli)<<16|0x7000|uint64(fraction))
	binary.BigEndian.PutUint64(u[8:], rand.Uint64()&^(3<<62)|2<<62)
	const digits = "0123456789abcdef"
	text := [36]byte{8: '-', 13: '-', 18: '-', 23: '-'}
	at := 0
	for i, c := range u {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			at++
		}
		text[at], text[at+1] = digits[c>>4], digits[c&15]
		at += 2
	}
	return append(b, text[:]...)
}
