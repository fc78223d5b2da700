package httpbroker_test

import (
	"context"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/micro-event/micro-event/runtime/broker"
	httpbroker "github.com/micro-event/micro-event/runtime/broker/http"
)

// TestStrangersCostLittle lets 64 clients send 4 MiB each, again and again, with
// credentials that are missing, wrong or used before, and looks at memory and
// goroutines while they do.
func TestStrangersCostLittle(t *testing.T) {
	large := strings.Repeat("x", 4<<20)
	r := request{topic: "orders", queue: "billing", body: large}
	const bodies = 2*httpbroker.DefaultHeldBytes + 64<<20 // what may be held, as much garbage, and a busy collector
	replayed := signed(secret, "msg_1", time.Now(), r.frame(1))
	for name, c := range map[string]struct {
		option broker.Option
		header http.Header
		most   int64 // bytes
	}{
		"no token":            {httpbroker.Bearer(token), http.Header{}, 32 << 20},
		"wrong token":         {httpbroker.Bearer(token), http.Header{"Authorization": {"Bearer " + otherToken}}, 32 << 20},
		"no signature":        {httpbroker.HMAC(secret), http.Header{}, 32 << 20},
		"old signature":       {httpbroker.HMAC(secret), signed(secret, "msg_2", time.Now().Add(-time.Hour), r.frame(1)), 32 << 20},
		"signature of others": {httpbroker.HMAC(secret), signed(otherSecret, "msg_3", time.Now(), r.frame(1)), bodies},
		"replayed":            {httpbroker.HMAC(secret), replayed, bodies},
	} {
		t.Run(name, func(t *testing.T) {
			var handled atomic.Int64
			b := connect(t, httpbroker.NewMemoryRegistry(), c.option, httpbroker.Log(quiet), httpbroker.MaxBody(8<<20))
			subscribe(t, b, "orders", func(context.Context, *broker.Delivery) error { handled.Add(1); return nil }, broker.Queue("billing"))
			client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
			defer client.CloseIdleConnections()
			frame := r.frame(1)
			before, goroutines := memory(), runtime.NumGoroutine()
			var most peak
			var clients sync.WaitGroup
			for range 64 {
				clients.Go(func() {
					for range 2 {
						send(t, client, b.Address(), frame, c.header)
						most.see(int64(heap()) - int64(before))
					}
				})
			}
			clients.Wait()
			if most.value > c.most {
				t.Errorf("memory grew by %d MiB, want at most %d", most.value>>20, c.most>>20)
			}
			if n := handled.Load(); name == "replayed" && n > 1 || name != "replayed" && n > 0 {
				t.Errorf("handled %d times", n)
			}
			if n := runtime.NumGoroutine() - goroutines; n > 4*64+64 {
				t.Errorf("%d goroutines more", n)
			}
		})
	}
}

// send sends a request whose answer does not matter; the connection may be cut.
func send(t *testing.T, client *http.Client, url, body string, header http.Header) {
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+httpbroker.DeliverPath, strings.NewReader(body))
	if err != nil {
		t.Error(err)
		return
	}
	req.Header = header.Clone()
	req.Header.Set("Content-Type", frameType)
	resp, err := client.Do(req)
	if err != nil {
		return
	}
	if resp.StatusCode == http.StatusOK && header.Get("Webhook-Id") != "msg_1" {
		t.Errorf("status 200")
	}
	io.Copy(io.Discard, resp.Body) //nolint:errcheck // a test
	resp.Body.Close()              //nolint:errcheck // a test
}

// peak is the highest of the values that it saw.
type peak struct {
	mu    sync.Mutex
	value int64
}

func (p *peak) see(n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.value = max(p.value, n)
}

// heap returns the bytes in use, garbage included.
func heap() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
