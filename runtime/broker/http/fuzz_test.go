package httpbroker

import (
	"bytes"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/micro-event/micro-event/runtime/broker"
)

// FuzzFrame feeds the decoder of frames with anything. What it takes must be
// within the limits, and the same after it was encoded again.
func FuzzFrame(f *testing.F) {
	for _, v := range frames {
		f.Add(encodeFrame(&v))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var first *frame
		var err error
		within(t, len(b), func() { first, err = parseFrame(bytes.Clone(b)) })
		if err != nil {
			return
		}
		for i := range first.messages {
			m := &first.messages[i]
			if len(m.record.Key) > broker.MaxKeyBytes || len(m.record.Header) > maxHeaderEntries || !utf8.ValidString(m.record.Key) {
				t.Errorf("message %d is beyond the limits", i)
			}
		}
		again, err := parseFrame(encodeFrame(first))
		if err != nil {
			t.Fatalf("encoded again: %v", err)
		}
		normalize(first)
		normalize(again)
		if !reflect.DeepEqual(first, again) {
			t.Errorf("encoded again:\n got %+v\nwant %+v", again, first)
		}
	})
}

// normalize makes empty and missing the same.
func normalize(f *frame) {
	for i := range f.messages {
		r := &f.messages[i].record
		if len(r.Body) == 0 {
			r.Body = nil
		}
		if len(r.Header) == 0 {
			r.Header = nil
		}
	}
}

// FuzzHeader sends one header through the codec, as a broker would.
func FuzzHeader(f *testing.F) {
	f.Add("Tenant", "a\r\nInjected: b")
	f.Add("\x00", "\x00")
	f.Add("content-length", "7")
	f.Add("é", "  ")
	f.Fuzz(func(t *testing.T, name, value string) {
		want := frame{topic: "t", queue: "q", messages: []message{{record: broker.Record{Header: []broker.Field{{Name: name, Value: value}}}}}}
		got, err := parseFrame(encodeFrame(&want))
		valid := name != "" && len(name) <= broker.MaxHeaderNameBytes && len(name)+len(value) <= maxHeaderBytes &&
			utf8.ValidString(name) && utf8.ValidString(value)
		switch {
		case valid != (err == nil):
			t.Errorf("header %q %q: valid is %v, error is %v", name, value, valid, err)
		case valid && got.messages[0].record.Header[0] != (broker.Field{Name: name, Value: value}):
			t.Errorf("got %q, want %q %q", got.messages[0].record.Header, name, value)
		}
	})
}

// FuzzResults feeds the decoder of answers with anything.
func FuzzResults(f *testing.F) {
	f.Add(appendResult(appendResult(nil, result{status: 200}), result{index: 300, status: 422, reason: "no"}))
	f.Fuzz(func(t *testing.T, b []byte) {
		for len(b) > 0 {
			r, n, err := cutResult(b)
			if err != nil || n == 0 {
				return
			}
			if r == (result{}) { // the end of an answer in frames
				b = b[n:]
				continue
			}
			if r.index < 0 || r.index > maxFrameMessages || r.status < 200 || r.status > 599 || n > len(b) {
				t.Fatalf("got %+v of %d bytes", r, n)
			}
			b = b[n:]
		}
	})
}

// FuzzEntry feeds the directory registry with files that somebody else wrote.
func FuzzEntry(f *testing.F) {
	f.Add("billing@m1", []byte("127.0.0.1:8080\n15000\n"))
	f.Add("billing", []byte("\n3600000\n"))
	f.Add("@m2", []byte("[::1]:80\n15000\n"))
	f.Add("q@m", []byte("user:pass@169.254.169.254:80/latest?x=#\n1\n"))
	f.Fuzz(func(t *testing.T, name string, content []byte) {
		e, ttl, err := parseEntry("topic", name, content)
		if err != nil {
			return
		}
		if ttl < 0 || e.member() != strings.Contains(name, entrySeparator) || strings.ContainsAny(e.Address, "/?#@\\ \r\n") {
			t.Errorf("file %q %q: got %+v, %v", name, content, e, ttl)
		}
	})
}

// FuzzRequest sends anything to the handler. It must answer, and echo nothing.
func FuzzRequest(f *testing.F) {
	for _, v := range frames {
		f.Add(frameType, encodeFrame(&v))
	}
	f.Add("text/plain", []byte("hello"))
	d := NewDriver()
	f.Fuzz(func(t *testing.T, contentType string, body []byte) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, DeliverPath, bytes.NewReader(body))
		r.Header["Content-Type"] = []string{contentType}
		w := httptest.NewRecorder()
		d.Handler().ServeHTTP(w, r)
		if w.Code < 400 { // there is no subscription
			t.Errorf("status: got %d, want a refusal of %s", w.Code, hex.EncodeToString(body))
		}
		for name, values := range w.Header() {
			if strings.ContainsAny(name+strings.Join(values, ""), "\r\n\x00") {
				t.Errorf("header %q: %q", name, values)
			}
		}
	})
}
