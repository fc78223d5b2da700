package httpbroker

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/micro-event/micro-event/runtime/broker"
)

// allocates returns how many bytes f allocates, those of others at the time
// included.
func allocates(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// maxAllocated is what an input below 1 MiB may make a decoder allocate.
const maxAllocated = 100 << 20

// within fails when an input of up to 1 MiB costs too much. Only the larger ones are
// measured: small ones cannot.
func within(t *testing.T, size int, f func()) {
	t.Helper()
	if size < 32<<10 || size > 1<<20 {
		f()
		return
	}
	if n := allocates(f); n > maxAllocated {
		t.Errorf("an input of %d bytes allocates %d", size, n)
	}
}

// TestDecodersAllocateInProportion gives them the worst that a mebibyte can hold.
func TestDecodersAllocateInProportion(t *testing.T) {
	emptyMessages := append([]byte("\x0a\x01t\x12\x01q"), bytes.Repeat([]byte{0x2a, 0}, 512<<10)...)
	emptyHeaders := append([]byte("\x0a\x01t\x12\x01q\x2a\x80\x80\x30"), bytes.Repeat([]byte{0x1a, 0}, 384<<10)...)
	nested := []byte(`{"specversion":"1.0","data":` + strings.Repeat("[", 500<<10) + strings.Repeat("]", 500<<10) + "}")
	many := []byte(`{"a":0` + strings.Repeat(`,"a":0`, 170<<10) + "}")
	structured := http.Header{"Content-Type": {structuredType}}
	frame := func(b []byte) error { _, err := parseFrame(b); return err }
	event := func(b []byte) error { _, err := cloudEvent(structured, b); return err }
	for _, c := range []struct {
		name   string
		decode func([]byte) error
		input  []byte
	}{
		{"frame of empty messages", frame, emptyMessages},
		{"message of empty headers", frame, emptyHeaders},
		{"nested JSON", event, nested},
		{"many members", event, many},
	} {
		n := allocates(func() {
			if c.decode(c.input) == nil {
				t.Errorf("%s: it is taken", c.name)
			}
		})
		if n > maxAllocated {
			t.Errorf("%s: allocates %d bytes, want at most %d", c.name, n, maxAllocated)
		}
	}
}

// FuzzCloudEvent sends anything to the ingress. What it takes is within the limits
// and has what an event needs.
func FuzzCloudEvent(f *testing.F) {
	f.Add("application/cloudevents+json", "", []byte(`{"specversion":"1.0","id":"1","source":"s","type":"t","data":{"a":1}}`))
	f.Add("application/cloudevents+json", "", []byte(`{"specversion":"1.0","id":"1","source":"s","type":"t","data_base64":"aGk="}`))
	f.Add("text/plain", "%41%c3%a9", []byte("hi"))
	f.Add("text/plain", "%", []byte("hi"))
	f.Fuzz(func(t *testing.T, contentType, attribute string, body []byte) {
		h := http.Header{
			"Content-Type": {contentType}, "Ce-Specversion": {"1.0"}, "Ce-Id": {"1"}, "Ce-Source": {"s"}, "Ce-Type": {attribute},
		}
		within(t, len(body), func() {
			r, err := cloudEvent(h, body)
			if err != nil || broker.CheckRecord(r) != nil {
				return
			}
			for _, name := range []string{"ce-id", "ce-source", "ce-type"} {
				if value, _ := r.Get(name); value == "" {
					t.Errorf("%q %q: taken without %s", contentType, body, name)
				}
			}
		})
	})
}

// FuzzIngress sends requests to the handler with an ingress. It must answer, and
// echo nothing that ends a line.
func FuzzIngress(f *testing.F) {
	f.Add("orders", "application/cloudevents+json", []byte(`{"specversion":"1.0","id":"1","source":"s","type":"t"}`))
	f.Add("a/../b", "text/plain", []byte{})
	f.Add("orders\r\nX: y", "application/cloudevents-batch+json", []byte("[]"))
	d := NewDriver()
	d.options.ingress = true
	f.Fuzz(func(t *testing.T, topic, contentType string, body []byte) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", bytes.NewReader(body))
		r.URL.Path = IngressPath + topic
		r.Header["Content-Type"] = []string{contentType}
		w := httptest.NewRecorder()
		d.Handler().ServeHTTP(w, r)
		if w.Code < 400 { // it is not connected
			t.Errorf("status: got %d, want a refusal", w.Code)
		}
		if strings.ContainsAny(w.Body.String(), "\r\n\x00") {
			t.Errorf("the answer is %q", w.Body)
		}
	})
}

// FuzzSignature feeds the headers of a signature with anything. Nothing but what the
// signer made is taken.
func FuzzSignature(f *testing.F) {
	now := time.Unix(1_800_000_000, 0)
	s := &signer{keys: [][]byte{bytes.Repeat([]byte("k"), minSecretBytes)}}
	f.Add("id", "1800000000", "v1,AAAA v1a,BBBB", []byte("body"))
	f.Add("id", "-1", "v1,", []byte{})
	f.Add("", "9999999999999999999", strings.Repeat("v1,AAAA ", 100), []byte("x"))
	f.Fuzz(func(t *testing.T, id, timestamp, signature string, body []byte) {
		h := http.Header{signatureID: {id}, signatureTime: {timestamp}, signatureMAC: {signature}}
		if s.checkTime(h, now) == nil && s.verify(h, body, now) == nil {
			t.Errorf("taken: %q %q %q", id, timestamp, signature)
		}
		good := readHeaders(t, s.appendHeaders(nil, "msg_1", now, body))
		if err := s.checkTime(good, now); err != nil {
			t.Errorf("its own signature: %v", err)
		}
		if s.match(good, body) == nil {
			t.Error("its own signature does not match")
		}
		if s.match(good, append(bytes.Clone(body), 0)) != nil {
			t.Error("it matches another body")
		}
	})
}

// readHeaders parses the lines of a request.
func readHeaders(t *testing.T, lines []byte) http.Header {
	t.Helper()
	h := http.Header{}
	for line := range strings.SplitSeq(strings.TrimSuffix(string(lines), "\r\n"), "\r\n") {
		name, value, _ := strings.Cut(line, ": ")
		h.Set(name, value)
	}
	return h
}

// TestSignaturesAreRememberedAsLongAsTheyAreGood moves the clock by hand.
func TestSignaturesAreRememberedAsLongAsTheyAreGood(t *testing.T) {
	var r replays
	at := time.Unix(1_800_000_000, 0)
	if err := r.add(1, at); err != nil {
		t.Fatal(err)
	}
	for _, later := range []time.Duration{0, signatureTolerance, 2 * signatureTolerance} {
		if r.add(1, at.Add(later)) == nil {
			t.Errorf("taken again %v later", later)
		}
	}
	if r.add(2, at.Add(2*signatureTolerance+time.Second)) != nil || r.add(1, at.Add(2*signatureTolerance+time.Second)) == nil {
		t.Error("a new generation has forgotten the last one")
	}
	if err := r.add(1, at.Add(time.Hour)); err != nil {
		t.Errorf("an hour later: %v", err)
	}
}
