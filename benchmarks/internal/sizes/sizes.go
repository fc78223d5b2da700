// Package sizes builds the same program with a broker of this repository and with the
// bare client. Both link the same messages.
package sizes

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/micro-event/micro-event/benchmarks/internal/report"
)

// Run builds them. The working directory is that of the module.
func Run(ctx context.Context) (sizes []report.Size, err error) {
	dir, err := os.MkdirTemp("", "sizes")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	for _, name := range []string{"nats", "kafka"} {
		raw, err := build(ctx, dir, name+"raw")
		if err != nil {
			return nil, err
		}
		ours, err := build(ctx, dir, name)
		if err != nil {
			return nil, err
		}
		sizes = append(sizes, report.Size{Name: name, Raw: raw, Ours: ours})
	}
	return sizes, nil
}

// build returns how many bytes the program has.
func build(ctx context.Context, dir, name string) (int64, error) {
	out := filepath.Join(dir, name)
	command := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", out, "./size/"+name) //nolint:gosec // constants
	if text, err := command.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("sizes: go build %s: %w\n%s", name, err, text)
	}
	info, err := os.Stat(out)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}
