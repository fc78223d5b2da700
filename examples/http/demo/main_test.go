package main

import (
	"strings"
	"testing"
)

func TestNothingIsLost(t *testing.T) {
	for name, secure := range map[string]bool{"open": false, "secure": true} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			if err := run(t.Context(), &out, secure); err != nil {
				t.Fatalf("%v\n%s", err, out.String())
			}
			if want := "20 orders published, 0 lost"; !strings.Contains(out.String(), want) {
				t.Errorf("got\n%s\nwant %q in it", out.String(), want)
			}
		})
	}
}
