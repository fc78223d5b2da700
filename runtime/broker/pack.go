package broker

import (
	"encoding/binary"
	"errors"
	"strconv"
)

// PackHeader is for drivers, when a transport cannot carry the headers of a message:
// it returns a body that begins with them, and their size there, which travels
// beside it and which [UnpackHeader] wants.
func PackHeader(r *Record) (body []byte, size string) {
	var b []byte
	for i := range r.Header {
		for _, s := range []string{r.Header[i].Name, r.Header[i].Value} {
			b = append(binary.AppendUvarint(b, uint64(len(s))), s...)
		}
	}
	return append(b, r.Body...), strconv.Itoa(len(b))
}

var errPacked = errors.New("the headers that were packed into the body are cut short")

// UnpackHeader takes off the body of r what [PackHeader] put there, and appends it
// to the headers.
func UnpackHeader(r *Record, size string) error {
	n, err := strconv.Atoi(size)
	if err != nil || n < 0 || n > len(r.Body) {
		return errPacked
	}
	packed := string(r.Body[:n])
	r.Body = r.Body[n:]
	for packed != "" {
		var f Field
		var ok1, ok2 bool
		f.Name, packed, ok1 = cutPacked(packed)
		f.Value, packed, ok2 = cutPacked(packed)
		if !ok1 || !ok2 {
			return errPacked
		}
		r.Header = append(r.Header, f)
	}
	return nil
}

func cutPacked(s string) (value, rest string, ok bool) {
	n, size := binary.Uvarint([]byte(s[:min(len(s), binary.MaxVarintLen64)]))
	if size <= 0 || n > uint64(len(s)-size) {
		return "", "", false
	}
	end := size + int(n)
	return s[size:end], s[end:], true
}
