package httpbroker

import (
	"bufio"
	"io"
	"strings"
	"testing"
)

// TestQuickAnswer has answers that may be read in short, and others that look
// like them.
func TestQuickAnswer(t *testing.T) {
	head := string(quickHead)
	for answer, want := range map[string]string{
		head + "4\r\n\r\nbody":                      "body",
		head + "0\r\n\r\n":                          "",
		head + "5\r\n\r\nbody":                      "none", // there is more to come
		head + "3\r\n\r\nbody":                      "none", // there is too much
		head + "4\r\nConnection: close\r\n\r\nbody": "none",
		head + "-4\r\n\r\nbody":                     "none",
		head + "4\r\n\r":                            "none",
		"HTTP/1.1 503 Service Unavailable\r\n\r\n":  "none",
		"": "none",
	} {
		c := &conn{reader: bufio.NewReader(strings.NewReader(answer))}
		body, ok := c.quickAnswer()
		if want == "none" {
			rest, err := io.ReadAll(c.reader)
			if ok || err != nil || string(rest) != answer {
				t.Errorf("%q: got %q, %v, and %q is left", answer, body, ok, rest)
			}
			continue
		}
		if !ok || string(body) != want || c.reader.Buffered() != 0 {
			t.Errorf("%q: got %q, %v, want %q", answer, body, ok, want)
		}
	}
}
