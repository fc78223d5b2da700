//go:build unix

// Command soak breaks the HTTP broker on purpose and counts what becomes of the
// messages: real processes (examples/node), kills, restarts, cut and stalled
// connections, partitions. It prints one line per row and fails when a count is
// wrong; times are printed with a verdict, since machines differ.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

// row is one line of the fault table.
type row struct {
	name string
	part float64 // of the time that is not spent in a fixed amount of work
	run  func(ctx context.Context, l *lab, d time.Duration) *verdict
}

func rows() []row {
	return []row{
		{"burst of 10,000 from 64 callers", 0, burst},
		{"1,000/s over 32 keys", 1, steady},
		{"100 processes publish once and exit", 0, publishOnce},
		{"three queues and two broadcasts in one process", 0, fanOut},
		{"sole member of one of two queues restarted", 1, restarts},
		{"subscriber killed 20 times at 500/s", 2, kills},
		{"2 % of answers cut", 1, cutAnswers},
		{"hung broadcast peer", 0, hungPeer},
		{"5 s partition", 0, partition},
		{"rolling SIGTERM of 3 members at 500/s", 1, rolling},
		{"slow consumer", 1, slowConsumer},
		{"level Accepted, members restarted", 1, acceptedRestarts},
	}
}

var errFailed = errors.New("a row failed")

func run(ctx context.Context, args []string, out io.Writer) error {
	f := flag.NewFlagSet("soak", flag.ContinueOnError)
	total := f.Duration("for", 10*time.Minute, "time for all rows together, about")
	only := f.String("only", "", "regular expression of the rows to run")
	keep := f.String("keep", "", "directory for the journals, which are then kept")
	if err := f.Parse(args); err != nil {
		return err
	}
	chosen, err := regexp.Compile(*only)
	if err != nil {
		return err
	}
	dir, clean, err := workDir(*keep)
	if err != nil {
		return err
	}
	defer clean()
	node := filepath.Join(dir, "node")
	build := exec.CommandContext(ctx, "go", "build", "-o", node, "github.com/micro-event/micro-event/examples/node") //nolint:gosec // the path is ours
	if text, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build node: %w: %s", err, text)
	}
	return runRows(ctx, rows(), chosen, *total, dir, node, out)
}

func workDir(keep string) (string, func(), error) {
	if keep != "" {
		return keep, func() {}, os.MkdirAll(keep, 0o700)
	}
	dir, err := os.MkdirTemp("", "soak-")
	return dir, func() { os.RemoveAll(dir) }, err //nolint:errcheck // nothing depends on it
}

func runRows(ctx context.Context, all []row, chosen *regexp.Regexp, total time.Duration, dir, node string, out io.Writer) error {
	parts := 0.0
	for _, r := range all {
		parts += r.part
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	failed := false
	for i, r := range all {
		if !chosen.MatchString(r.name) {
			continue
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		l, err := newLab(ctx, filepath.Join(dir, fmt.Sprint("row", i)), node)
		if err != nil {
			return err
		}
		begin := time.Now()
		v := r.run(ctx, l, time.Duration(float64(total-fixedTime)*r.part/parts))
		if err := l.close(); err != nil {
			v.fail("%v", err)
		}
		failed = failed || v.failed
		_, err = fmt.Fprintf(w, "%s\t%s\t%s\t%.0f s\n", r.name, v.word(), strings.Join(v.notes, ", "), time.Since(begin).Seconds())
		if err := errors.Join(err, w.Flush()); err != nil {
			return err
		}
	}
	if failed {
		return errFailed
	}
	return nil
}

// fixedTime is what the rows with a fixed amount of work take, about.
const fixedTime = 25 * time.Second

// verdict is what a row found.
type verdict struct {
	failed, skipped bool
	slow            bool // a time is not what it should be
	notes           []string
}

func (v *verdict) note(format string, args ...any) {
	v.notes = append(v.notes, fmt.Sprintf(format, args...))
}

func (v *verdict) fail(format string, args ...any) {
	v.failed = true
	v.note("FAILED: "+format, args...)
}

// want fails unless a count is what it should be.
func (v *verdict) want(what string, got, want int) {
	if got != want {
		v.fail("%s: got %d, want %d", what, got, want)
	}
}

// atMost fails when a count is higher than it should be.
func (v *verdict) atMost(what string, got, most int) {
	if got > most {
		v.fail("%s: got %d, want at most %d", what, got, most)
	}
}

// within notes a time and whether it is what it should be.
func (v *verdict) within(what string, got, most time.Duration) {
	if got > most {
		v.slow = true
		v.note("%s %v (want at most %v)", what, got.Round(time.Millisecond/10), most)
		return
	}
	v.note("%s %v", what, got.Round(time.Millisecond/10))
}

func (v *verdict) word() string {
	switch {
	case v.failed:
		return "FAIL"
	case v.skipped:
		return "skip"
	case v.slow:
		return "slow"
	default:
		return "ok"
	}
}
