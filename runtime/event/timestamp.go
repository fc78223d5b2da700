package event

import "time"

// clockFace writes times as RFC 3339 in UTC, with as many digits of the second as
// it needs. It keeps what it wrote of a second for the next time in that second,
// which takes a tenth of the time that package time needs. It is not safe for
// concurrent use.
type clockFace struct {
	second int64
	text   []byte // of second, without the zone; empty before the first
}

func (c *clockFace) append(b []byte, t time.Time) []byte {
	if second := t.Unix(); second != c.second || len(c.text) == 0 {
		c.second = second
		c.text = t.UTC().AppendFormat(c.text[:0], "2006-01-02T15:04:05")
	}
	b = append(b, c.text...)
	return append(appendFraction(b, t.Nanosecond()), 'Z')
}

// appendFraction appends a dot and nanoseconds without zeros at the end, or
// nothing for 0.
func appendFraction(b []byte, nano int) []byte {
	if nano == 0 {
		return b
	}
	digits := [...]byte{'.', '0', '0', '0', '0', '0', '0', '0', '0', '0'}
	for i := len(digits) - 1; i > 0; i-- {
		digits[i] += byte(nano % 10)
		nano /= 10
	}
	n := len(digits)
	for digits[n-1] == '0' {
		n--
	}
	return append(b, digits[:n]...)
}
