package broker

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
)

func TestHeadersArriveThroughAnyTransport(t *testing.T) {
	for name, h := range map[string]Header{
		"none":           nil,
		"plain":          {"tenant": "acme", "ce-id": "1"},
		"case":           {"Tenant": "a", "tenant": "b"},
		"NUL and CR/LF":  {"a\x00b": "1", "c": "2\r\n3"},
		"unicode":        {"naïve": "Ω", "k": "日本"},
		"blanks":         {"k": " v ", "empty": ""},
		"32 KiB":         {"k": strings.Repeat("\x00", MaxHeaderValueBytes)},
		"carrier itself": {carrier: "x", redriveHeader: "q"},
	} {
		for _, support := range []HeaderSupport{HeadersExact, HeadersPrintable, HeadersPrintableLower} {
			t.Run(fmt.Sprint(name, support), func(t *testing.T) {
				sent := &Message{Key: "k", Header: maps.Clone(h), Body: []byte("b")}
				out := encodeHeaders(sent, support)
				if !maps.Equal(sent.Header, h) {
					t.Error("the caller's header was changed")
				}
				for n, v := range out.Header {
					if n != carrier && !support.carries(n, v) {
						t.Errorf("%q: %q is left to a transport that cannot carry it", n, v)
					}
				}
				got := maps.Clone(out.Header)
				must(t, decodeHeaders(got))
				if !maps.Equal(got, h) || out.Key != "k" || string(out.Body) != "b" {
					t.Errorf("got %v, want %v", got, h)
				}
			})
		}
	}
}

func TestPlainHeadersAreNotCopied(t *testing.T) {
	m := &Message{Header: Header{"tenant": "acme", "content-type": "application/protobuf"}}
	if n := testing.AllocsPerRun(100, func() { encodeHeaders(m, HeadersPrintableLower) }); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

func TestBrokenCarrierIsAnError(t *testing.T) {
	for _, value := range []string{"!", "AA", "_w", "BWFi", "AmFiBQ"} {
		if err := decodeHeaders(Header{carrier: value}); !errors.Is(err, ErrInvalidHeader) {
			t.Errorf("carrier %q: %v, want ErrInvalidHeader", value, err)
		}
	}
}

func FuzzDecodeHeaders(f *testing.F) {
	f.Add("")
	f.Add("!")
	f.Add("AWEBYg")
	f.Add("_____w8")
	f.Fuzz(func(t *testing.T, value string) {
		h := Header{carrier: value, "other": "kept"}
		err := decodeHeaders(h)
		if err != nil && !errors.Is(err, ErrInvalidHeader) {
			t.Errorf("error %v does not match ErrInvalidHeader", err)
		}
		total := 0
		for n, v := range h {
			total += len(n) + len(v)
		}
		if total > len(value)+len(carrier)+64 {
			t.Errorf("%d bytes of headers from a value of %d", total, len(value))
		}
	})
}

func FuzzHeadersRoundTrip(f *testing.F) {
	f.Add("tenant", "acme", "Tenant", "b", uint8(2))
	f.Add("a\x00", "\r\n", carrier, "x", uint8(1))
	f.Fuzz(func(t *testing.T, n1, v1, n2, v2 string, support uint8) {
		h := Header{n1: v1, n2: v2}
		m := &Message{Header: h}
		if headerLimits.check(m) != nil {
			return
		}
		got := maps.Clone(encodeHeaders(m, HeaderSupport(support%3)).Header)
		must(t, decodeHeaders(got))
		if !maps.Equal(got, h) {
			t.Errorf("got %q, want %q", got, h)
		}
	})
}
