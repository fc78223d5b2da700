package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/micro-event/micro-event/benchmarks/internal/overhttp"
	"github.com/micro-event/micro-event/benchmarks/internal/measure"
)

func main() {
	b := &measure.Bench{Rounds: 9, Turn: 100 * time.Millisecond, Log: func(f string, a ...any) { fmt.Fprintf(os.Stderr, f+"\n", a...) }}
	err := overhttp.Run(context.Background(), b)
	fmt.Println(err, b.Close())
	for _, r := range b.Results {
		for _, w := range r.Rows {
			fmt.Printf("%-26s %8.0f ns %6.2fx [%.2f-%.2f] cpu %6.0f allocs %5.1f B %6.0f p50 %6.0f p99 %6.0f n %d %s\n", w.Side, w.Time.Median, w.Ratio.Median, w.Ratio.Low, w.Ratio.High, w.CPU, w.Allocs, w.Bytes, w.P50, w.P99, w.Sent, w.Void)
		}
	}
}
