package httpbroker

import (
	"errors"
	"fmt"
	"net/http"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// result is what became of one message of a frame. It is sent as a message of
// its own, behind its length. Its status is that of HTTP:
//
//	200  a handler finished it, or it lies on its dead-letter topic
//	202  a member holds it; at level Accepted that is all, at level Handled another result follows
//	409  the same id was used for another message
//	413  its body is larger than this member takes
//	422  it was given up for good, without a dead letter
//	429  the member is full; ask it again
//	503  the member is leaving and will not handle it; ask another one
type result struct {
	index  int
	status int
	reason string
	whole  bool // it is about the request
}

const (
	resultIndex  = 1
	resultStatus = 2
	resultReason = 3
	resultWhole  = 4

	maxReasonBytes = 256
	maxResultBytes = 1 << 10
)

// errResult is wrapped by the errors of cutResult.
var errResult = errors.New("malformed answer")

// appendResult appends r behind its length.
func appendResult(b []byte, r result) []byte {
	var payload [3 * 11]byte
	p := payload[:0]
	if r.index != 0 {
		p = protowire.AppendVarint(protowire.AppendTag(p, resultIndex, protowire.VarintType), uint64(r.index))
	}
	p = protowire.AppendVarint(protowire.AppendTag(p, resultStatus, protowire.VarintType), uint64(r.status))
	if r.whole {
		p = protowire.AppendVarint(protowire.AppendTag(p, resultWhole, protowire.VarintType), 1)
	}
	b = protowire.AppendVarint(b, uint64(len(p)+sizeString(r.reason)))
	return appendString(append(b, p...), resultReason, r.reason)
}

// cutResult reads the first result of b and returns its size, 0 when b holds
// only a part of it.
func cutResult(b []byte) (result, int, error) {
	var r result
	size, n := protowire.ConsumeVarint(b)
	switch {
	case n < 0 && len(b) < 10:
		return r, 0, nil
	case n < 0 || size > maxResultBytes:
		return r, 0, fmt.Errorf("%w: length", errResult)
	case size > uint64(len(b)-n):
		return r, 0, nil
	case size == 0:
		return r, n, nil
	}
	end := n + int(size)
	err := eachField(b[n:end], func(num protowire.Number, typ protowire.Type, value []byte, v uint64) error {
		switch {
		case typ == protowire.BytesType && num == resultReason:
			r.reason = string(value)
		case typ != protowire.VarintType:
		case num == resultIndex:
			r.index = int(min(v, maxFrameMessages))
		case num == resultStatus:
			r.status = int(min(v, 1000))
		case num == resultWhole:
			r.whole = v != 0
		}
		return nil
	})
	switch {
	case err != nil:
		return r, 0, fmt.Errorf("%w: %w", errResult, err)
	case r.status < 200 || r.status > 599:
		return r, 0, fmt.Errorf("%w: status", errResult)
	}
	return r, end, nil
}

// shortReason is the text of an error as far as a result carries it.
func shortReason(err error) string {
	if err == nil {
		return ""
	}
	text := err.Error()
	if len(text) > maxReasonBytes {
		text = text[:maxReasonBytes]
		for !utf8.ValidString(text) && len(text) > maxReasonBytes-utf8.UTFMax {
			text = text[:len(text)-1]
		}
	}
	if !utf8.ValidString(text) {
		return http.StatusText(http.StatusUnprocessableEntity)
	}
	return text
}
