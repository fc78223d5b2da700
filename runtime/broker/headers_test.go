package broker

import (
	"errors"
	"fmt"
	"maps"
	"slices"
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
		for _, support := range []HeaderSupport{HeadersExact, HeadersPrintable, HeadersPrintableLower, HeadersCloudEvents} {
			t.Run(fmt.Sprint(name, support), func(t *testing.T) {
				sent := &Record{Key: "k", Header: appendFields(nil, h), Body: []byte("b")}
				before := slices.Clone(sent.Header)
				out := encodeHeaders(sent, support)
				if !slices.Equal(sent.Header, before) {
					t.Error("the caller's header was changed")
				}
				for _, f := range out.Header {
					if f.Name != carrier && !support.carries(&f) {
						t.Errorf("%q is left to a transport that cannot carry it", f)
					}
				}
				if got := decoded(t, out); !maps.Equal(got, h) || out.Key != "k" || string(out.Body) != "b" {
					t.Errorf("got %v, want %v", got, h)
				}
			})
		}
	}
}

// decoded returns the headers that arrive when r is what travels.
func decoded(t *testing.T, r *Record) Header {
	t.Helper()
	before := slices.Clone(r.Header)
	header, err := decodeHeaders(r.Header)
	must(t, err)
	if !slices.Equal(r.Header, before) {
		t.Error("decoding changed what the driver holds")
	}
	m := (&Record{Header: header}).Message()
	return m.Header
}

func TestPlainHeadersAreNotCopied(t *testing.T) {
	r := &Record{Header: []Field{{"tenant", "acme"}, {"content-type", "application/protobuf"}}}
	if n := testing.AllocsPerRun(100, func() { encodeHeaders(r, HeadersPrintableLower) }); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

// TestAttributesAreLeftToTheDriver: a driver that percent-encodes attributes
// gets them as they are, so that other programs find them under their names.
func TestAttributesAreLeftToTheDriver(t *testing.T) {
	for name, want := range map[string]bool{"ce-subject": true, "ce-a b": false, "subject": false} {
		f := Field{name, " Ω\r\n"}
		if got := HeadersCloudEvents.carries(&f); got != want {
			t.Errorf("carries %q: got %v, want %v", f, got, want)
		}
		if HeadersPrintable.carries(&f) {
			t.Errorf("HeadersPrintable carries %q", f)
		}
	}
}

func TestBrokenCarrierIsAnError(t *testing.T) {
	for _, value := range []string{"!", "AA", "_w", "BWFi", "AmFiBQ"} {
		if _, err := decodeHeaders([]Field{{carrier, value}}); !errors.Is(err, ErrInvalidHeader) {
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
		h, err := decodeHeaders([]Field{{carrier, value}, {"other", "kept"}})
		if err != nil && !errors.Is(err, ErrInvalidHeader) {
			t.Errorf("error %v does not match ErrInvalidHeader", err)
		}
		total := 0
		for _, f := range h {
			total += len(f.Name) + len(f.Value)
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
		r := &Record{Header: appendFields(nil, h)}
		if headerLimits.check(r) != nil {
			return
		}
		if got := decoded(t, encodeHeaders(r, HeaderSupport(support%4))); !maps.Equal(got, h) {
			t.Errorf("got %q, want %q", got, h)
		}
	})
}

func TestIsASCII(t *testing.T) {
	for _, s := range []string{"", "a", "1234567", "12345678", "123456789abcdef", strings.Repeat("x", 100)} {
		if !isASCII(s) {
			t.Errorf("%q is ASCII", s)
		}
		for i := range len(s) {
			if bad := s[:i] + "\x80" + s[i+1:]; isASCII(bad) {
				t.Errorf("%q is not ASCII", bad)
			}
		}
	}
}

func TestCheckRecord(t *testing.T) {
	if err := CheckRecord(&Record{Key: "k", Header: []Field{{"tenant", "é"}}}); err != nil {
		t.Errorf("a valid record: %v", err)
	}
	for name, r := range map[string]*Record{
		"long key":   {Key: strings.Repeat("k", MaxKeyBytes+1)},
		"no name":    {Header: []Field{{"", "v"}}},
		"not UTF-8":  {Header: []Field{{"tenant", "\xff"}}},
		"too many":   {Header: make([]Field, MaxHeaderEntries+1)},
		"long value": {Header: []Field{{"tenant", strings.Repeat("v", MaxHeaderValueBytes+1)}}},
	} {
		if err := CheckRecord(r); !errors.Is(err, ErrInvalidHeader) {
			t.Errorf("%s: got %v, want ErrInvalidHeader", name, err)
		}
	}
}
