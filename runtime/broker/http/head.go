package httpbroker

import (
	"encoding/binary"
	"io"
	"net/http"
	"strings"
)

// On a connection that changed a frame follows a head, with the fields by which a
// request of HTTP would prove who sends it.

// head reads what a request proves, if anybody asks for that.
func (st *stream) head() (http.Header, *refusal, error) {
	size, err := binary.ReadUvarint(st.reader)
	if err != nil || size == 0 {
		return nil, nil, err
	}
	if size > maxRequestHeader {
		return nil, &refusal{http.StatusBadRequest, "head is too large"}, nil
	}
	b := make([]byte, size)
	if _, err := io.ReadFull(st.reader, b); err != nil || !st.server.options().wantsCredentials() {
		return nil, nil, err
	}
	h, ok := parseHead(string(b))
	if !ok {
		return nil, &refusal{http.StatusBadRequest, "head is malformed"}, nil
	}
	return h, nil, nil
}

// parseHead reads the fields of a head, each of which ends with CRLF (RFC 9112,
// section 5).
func parseHead(text string) (http.Header, bool) {
	h := make(http.Header)
	for text != "" {
		line, rest, whole := strings.Cut(text, "\r\n")
		name, value, found := strings.Cut(line, ":")
		if !whole || !found || name == "" || strings.ContainsAny(name, " \t") || strings.ContainsAny(line, "\r\n\x00") {
			return nil, false
		}
		h.Add(name, strings.Trim(value, " \t"))
		text = rest
	}
	return h, true
}

// isWhole reports whether there is a head and a frame in b, each behind its size.
func isWhole(b []byte) bool {
	for range 2 {
		size, n := binary.Uvarint(b)
		if n <= 0 || size > uint64(len(b)-n) {
			return false
		}
		b = b[n+int(size):]
	}
	return true
}
