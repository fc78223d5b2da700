package broker

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
)

func TestPackHeader(t *testing.T) {
	for _, r := range []Record{
		{},
		{Body: []byte("body")},
		{Header: []Field{{"a", ""}, {"", "b"}, {"long", strings.Repeat("x", 300)}}, Body: []byte("body")},
		{Header: []Field{{"only", "header"}}},
	} {
		body, size := PackHeader(&r)
		got := Record{Body: body}
		if err := UnpackHeader(&got, size); err != nil {
			t.Errorf("%q: %v", r.Header, err)
		}
		if !reflect.DeepEqual(got.Header, r.Header) || !bytes.Equal(got.Body, r.Body) {
			t.Errorf("got %q and %q, want %q and %q", got.Header, got.Body, r.Header, r.Body)
		}
	}
}

func FuzzUnpackHeader(f *testing.F) {
	body, size := PackHeader(&Record{Header: []Field{{"name", "value"}}, Body: []byte("body")})
	f.Add(body, size)
	f.Add([]byte{200, 1, 'x'}, "3")
	f.Add([]byte("body"), "5")
	f.Add([]byte("body"), "-1")
	f.Add([]byte("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), "10")
	f.Fuzz(func(t *testing.T, body []byte, size string) {
		r := Record{Body: body}
		if UnpackHeader(&r, size) != nil {
			return
		}
		again, _ := PackHeader(&r)
		if len(again) > len(body) {
			t.Errorf("got %d bytes packed again, want at most %d", len(again), len(body))
		}
	})
}
