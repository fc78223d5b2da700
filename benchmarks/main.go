// Command benchmarks compares this repository with the floor, with bare clients and
// with other libraries, and writes docs/performance.md. `make bench` runs it with the
// servers that it needs.
//
//	go run .                       everything; writes the page
//	go run . -only "in process"    one group or more; prints, writes nothing
//	go run . -render               writes the page again from its results
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"

	"github.com/micro-event/micro-event/benchmarks/internal/generator"
	"github.com/micro-event/micro-event/benchmarks/internal/growth"
	"github.com/micro-event/micro-event/benchmarks/internal/inprocess"
	"github.com/micro-event/micro-event/benchmarks/internal/measure"
	"github.com/micro-event/micro-event/benchmarks/internal/overhttp"
	"github.com/micro-event/micro-event/benchmarks/internal/report"
	"github.com/micro-event/micro-event/benchmarks/internal/servers"
	"github.com/micro-event/micro-event/benchmarks/internal/sizes"
)

// groups are what is run.
var groups = map[string]func(context.Context, *measure.Bench) error{
	"in process": inprocess.Run,
	"HTTP":       overhttp.Run,
	"generator":  generator.Run,
	"growth":     growth.Run,
	"servers":    servers.Run,
}

// order is that of the groups. What needs all cores is measured a part at a time, since
// they may be fast or slow together for minutes, and before there are servers.
var order = []string{"in process", "HTTP", "generator", "in process", "HTTP", "growth", "in process", "HTTP", "servers"}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "benchmarks:", err)
		os.Exit(1) //nolint:gocritic // nothing is lost with the signals
	}
}

func run(ctx context.Context) error {
	if served, err := overhttp.ServeSubscriber(ctx, os.Stdin, os.Stdout); served {
		return err
	}
	only := flag.String("only", "", "run these groups, separated by commas, and print what they measured")
	docs := flag.String("docs", "../docs", "where the page is")
	services := flag.String("services", "", "scripts/services, to start the servers when it is their turn")
	render := flag.Bool("render", false, "write the page from the results beside it")
	rounds := flag.Int("rounds", 11, "turns of each side")
	turn := flag.Duration("turn", 100*time.Millisecond, "how long a turn is, about")
	flag.Parse()
	if *render {
		r, err := report.Read(*docs)
		if err != nil {
			return err
		}
		return r.Write(*docs)
	}
	began := time.Now()
	log := func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
	b := &measure.Bench{Turn: *turn, Log: log}
	r := &report.Run{Machine: report.ThisMachine()}
	for _, name := range order {
		if *only != "" && !slices.Contains(strings.Split(*only, ","), name) {
			continue
		}
		if name == "servers" && *services != "" {
			if err := servers.Start(ctx, *services, log); err != nil {
				return err
			}
		}
		parts := visits(name)
		b.Rounds = (*rounds + parts - 1) / parts
		// What one group has started is not there while the next one runs.
		if err := errors.Join(groups[name](ctx, b), b.Close()); err != nil {
			return err
		}
	}
	if *only == "" {
		var err error
		if r.Sizes, err = sizes.Run(ctx); err != nil {
			return err
		}
	}
	r.Results = b.Results
	r.Machine.Seconds = time.Since(began).Seconds()
	if *only != "" {
		fmt.Print(r.Tables())
		return nil
	}
	return r.Write(*docs)
}

// visits returns how often a group comes.
func visits(name string) (n int) {
	for _, other := range order {
		if other == name {
			n++
		}
	}
	return n
}
