package httpbroker_test

import (
	"strings"
	"testing"

	"github.com/micro-event/micro-event/runtime/broker"
	httpbroker "github.com/micro-event/micro-event/runtime/broker/http"
)

// TestStaticListDelivers has a publisher that knows an address, and nothing else
// of who listens there.
func TestStaticListDelivers(t *testing.T) {
	sub := connect(t, httpbroker.NewMemoryRegistry())
	h := newHold()
	close(h.release)
	subscribe(t, sub, "orders", h.handle, broker.Queue("billing"))
	r, err := httpbroker.NewStaticRegistry(httpbroker.Entry{
		Topic: "orders", Queue: "billing", Address: strings.TrimPrefix(sub.Address(), "http://"),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := connect(t, r).Publish(within(t, long), "orders", &broker.Message{Body: []byte("x")}); err != nil {
		t.Fatal(err)
	}
	if got := <-h.began; got != "x" {
		t.Errorf("handled %q, want x", got)
	}
}
