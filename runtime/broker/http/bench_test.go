package httpbroker_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/micro-event/micro-event/runtime/broker"
	httpbroker "github.com/micro-event/micro-event/runtime/broker/http"
)

// sender sends one event and returns when it was handled.
type sender func(ctx context.Context) error

// bareSender is the floor: one POST of net/http per event, with connections kept
// for all callers.
func bareSender(tb testing.TB, callers int, body []byte) sender {
	tb.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.ReadAll(r.Body); err != nil {
			w.WriteHeader(http.StatusBadRequest)
		}
	}))
	tb.Cleanup(server.Close)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: callers}}
	tb.Cleanup(client.CloseIdleConnections)
	return func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL, bytes.NewReader(body))
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", "application/protobuf")
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			return err
		}
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("status %d", resp.StatusCode)
		}
		return resp.Body.Close()
	}
}

// brokerSender publishes an event with the headers that the event layer sets.
func brokerSender(tb testing.TB, body []byte, handled *atomic.Int64, opts ...broker.Option) sender {
	tb.Helper()
	tb.Setenv("TMPDIR", tb.TempDir())
	registry, err := httpbroker.NewDirectoryRegistry("bench")
	if err != nil {
		tb.Fatal(err)
	}
	count := func(context.Context, *broker.RecordDelivery) error {
		handled.Add(1)
		return nil
	}
	if _, err := connect(tb, registry).SubscribeRecords(context.Background(), "shop.orders.created", count, broker.Queue("billing")); err != nil {
		tb.Fatal(err)
	}
	b := connect(tb, registry, opts...)
	var last atomic.Int64
	return func(ctx context.Context) error {
		return b.PublishRecord(ctx, "shop.orders.created", &broker.Record{
			Header: []broker.Field{
				{Name: "ce-id", Value: "0191e3a0-6e1b-7000-8000-" + strconv.FormatInt(1<<40+last.Add(1), 16)},
				{Name: "ce-source", Value: "shop"},
				{Name: "ce-type", Value: "shop.orders.v1.OrderCreated"},
				{Name: "ce-time", Value: "2026-01-02T03:04:05.678901234Z"},
				{Name: "content-type", Value: "application/protobuf"},
			},
			Body: body,
		})
	}
}

// load calls send n times from a number of callers and returns how long each
// call took.
func load(tb testing.TB, send sender, callers, n int) []time.Duration {
	tb.Helper()
	took := make([]time.Duration, n)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				begin := time.Now()
				if err := send(tb.Context()); err != nil {
					tb.Error(err)
					return
				}
				took[i] = time.Since(begin)
			}
		})
	}
	wg.Wait()
	return took
}

// BenchmarkPairs sends 200-byte events through net/http and through the broker
// in turns, within one run, and reports how many times as fast the broker is.
func BenchmarkPairs(b *testing.B) {
	body := bytes.Repeat([]byte("e"), 200)
	for _, callers := range []int{1, 8, 64} {
		b.Run(fmt.Sprint("callers=", callers), func(b *testing.B) {
			var handled atomic.Int64
			bare, ours := bareSender(b, callers, body), brokerSender(b, body, &handled)
			load(b, bare, callers, 200)
			load(b, ours, callers, 200)
			handled.Store(0)
			const rounds = 5
			each := max(1, b.N/rounds)
			var ratios []float64
			var latencies []time.Duration
			b.ReportAllocs()
			b.ResetTimer()
			var cpu [2]time.Duration
			for range rounds {
				b.StopTimer()
				begin, used := time.Now(), cpuTime(b)
				load(b, bare, callers, each)
				floor := time.Since(begin)
				cpu[0] += cpuTime(b) - used
				b.StartTimer()
				begin, used = time.Now(), cpuTime(b)
				latencies = append(latencies, load(b, ours, callers, each)...)
				ratios = append(ratios, floor.Seconds()/time.Since(begin).Seconds())
				cpu[1] += cpuTime(b) - used
			}
			b.StopTimer()
			if got := handled.Load(); got != int64(rounds*each) {
				b.Errorf("handled: got %d, want %d", got, rounds*each)
			}
			slices.Sort(ratios)
			slices.Sort(latencies)
			b.ReportMetric(ratios[len(ratios)/2], "x-bare")
			b.ReportMetric(float64(cpu[0].Microseconds())/float64(rounds*each), "bare-cpu-us")
			b.ReportMetric(float64(cpu[1].Microseconds())/float64(rounds*each), "cpu-us")
			b.ReportMetric(float64(latencies[len(latencies)/2].Microseconds()), "p50-us")
			b.ReportMetric(float64(latencies[len(latencies)*99/100].Microseconds()), "p99-us")
		})
	}
}

// BenchmarkAuthenticators publishes with each way to prove who sends, in turns with
// none, within one run, by one caller and by 64.
func BenchmarkAuthenticators(b *testing.B) {
	ca, own := newAuthority(b, "ours"), newFiles(b)
	own.write(b, ca, "orders.example", time.Now(), ca)
	ways := []struct {
		name string
		opts []broker.Option
	}{
		{"none", nil},
		{"bearer", []broker.Option{httpbroker.Bearer(token)}},
		{"hmac", []broker.Option{httpbroker.HMAC(secret)}},
		{"mtls", []broker.Option{httpbroker.TLSFiles(own[0], own[1], own[2])}},
	}
	for _, callers := range []int{1, 64} {
		b.Run(fmt.Sprint("callers=", callers), func(b *testing.B) {
			sends := make([]sender, len(ways))
			for i, way := range ways {
				sends[i] = secureSender(b, way.opts...)
				load(b, sends[i], callers, 200)
			}
			const rounds = 5
			each := max(64, b.N/rounds)
			took := make([][]float64, len(ways))
			for round := range rounds {
				for i := range ways {
					at := (i + round) % len(ways)
					begin := time.Now()
					load(b, sends[at], callers, each)
					took[at] = append(took[at], float64(time.Since(begin).Microseconds())/float64(each))
				}
			}
			for i, way := range ways {
				slices.Sort(took[i])
				b.ReportMetric(took[i][rounds/2], way.name+"-us/msg")
			}
		})
	}
}

// secureSender publishes between two brokers with the same options.
func secureSender(b *testing.B, opts ...broker.Option) sender {
	b.Helper()
	r := httpbroker.NewMemoryRegistry()
	if _, err := connect(b, r, opts...).SubscribeRecords(context.Background(), "orders",
		func(context.Context, *broker.RecordDelivery) error { return nil }, broker.Queue("billing")); err != nil {
		b.Fatal(err)
	}
	publisher, body := connect(b, r, opts...), make([]byte, 200)
	return func(ctx context.Context) error {
		return publisher.PublishRecord(ctx, "orders", &broker.Record{Body: body})
	}
}
