package httpbroker

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// span is where a value lies in its message.
type span struct{ from, to int }

func (s span) of(text string) string { return text[s.from:s.to] }

// cutField reads the field of b at a place. Fields that are not strings, bytes
// or messages are returned as number 0, for all in a message are.
func cutField(b []byte, at int) (protowire.Number, span, int, error) {
	if at+2 <= len(b) && b[at]&7 == byte(protowire.BytesType) && 8 <= b[at] && b[at] < 0x80 && b[at+1] < 0x80 {
		if from, end := at+2, at+2+int(b[at+1]); end <= len(b) { // as most are: number and size of one byte each
			return protowire.Number(b[at] >> 3), span{from, end}, end, nil
		}
	}
	num, typ, n := protowire.ConsumeTag(b[at:])
	if n < 0 {
		return 0, span{}, 0, wireError(n)
	}
	at += n
	if typ != protowire.BytesType {
		n = protowire.ConsumeFieldValue(num, typ, b[at:])
		if n < 0 {
			return 0, span{}, 0, wireError(n)
		}
		return 0, span{}, at + n, nil
	}
	size, n := protowire.ConsumeVarint(b[at:])
	if n < 0 {
		return 0, span{}, 0, wireError(n)
	}
	at += n
	if size > uint64(len(b)-at) {
		return 0, span{}, 0, fmt.Errorf("%w: a field is cut short", errFrame)
	}
	end := at + int(size)
	return num, span{at, end}, end, nil
}

// eachField calls f with each field of b: with its bytes or with its number.
func eachField(b []byte, f func(num protowire.Number, typ protowire.Type, value []byte, n uint64) error) error {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return wireError(n)
		}
		b = b[n:]
		var value []byte
		var number uint64
		switch typ {
		case protowire.BytesType:
			value, n = protowire.ConsumeBytes(b)
		case protowire.VarintType:
			number, n = protowire.ConsumeVarint(b)
		default:
			n = protowire.ConsumeFieldValue(num, typ, b)
		}
		if n < 0 {
			return wireError(n)
		}
		b = b[n:]
		if err := f(num, typ, value, number); err != nil {
			return err
		}
	}
	return nil
}

func wireError(n int) error { return fmt.Errorf("%w: %w", errFrame, protowire.ParseError(n)) }
