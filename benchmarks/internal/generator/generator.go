// Package generator compares plugins of protoc, as the processes that they are, on the
// same request.
package generator

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/pluginpb"

	"github.com/micro-event/micro-event/benchmarks/internal/measure"
)

// Group is what the results are filed under.
const Group = "generator"

// plugins are compared; the first is the floor. Each makes one file for each of the
// request, but the empty one.
var plugins = []struct {
	source string
	files  int
	note   string
}{
	{source: "google.golang.org/protobuf/cmd/protoc-gen-go", files: 1},
	{source: "github.com/micro-event/micro-event/cmd/protoc-gen-micro-event", files: 1},
	{source: "google.golang.org/grpc/cmd/protoc-gen-go-grpc", files: 1},
	{source: "connectrpc.com/connect/cmd/protoc-gen-connect-go", files: 1},
	{
		source: "github.com/micro-event/micro-event/benchmarks/internal/generator/empty",
		note:   "a plugin that reads its request with protogen and does nothing",
	},
}

// size is a request, and how often each plugin gets it.
type size struct {
	messages, rounds int
	cold             bool // each turn is long enough
}

var sizes = []size{{1, 15, false}, {100, 15, false}, {10_000, 3, true}, {44_000, 3, true}}

// Run compares them on requests of 1 to 44,000 messages.
func Run(ctx context.Context, b *measure.Bench) error { return run(ctx, b, sizes) }

func run(ctx context.Context, b *measure.Bench, sizes []size) error {
	dir, err := os.MkdirTemp("", "plugins")
	if err != nil {
		return err
	}
	b.Cleanup(func() error { return os.RemoveAll(dir) })
	for _, p := range plugins {
		build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", dir, p.source) //nolint:gosec // a constant
		if text, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("generator: go build %s: %w\n%s", p.source, err, text)
		}
	}
	for _, s := range sizes {
		if err := compare(ctx, b, dir, s); err != nil {
			return fmt.Errorf("generator: %w", err)
		}
	}
	return nil
}

func compare(ctx context.Context, b *measure.Bench, dir string, s size) error {
	request, files, err := request(ctx, s.messages)
	if err != nil {
		return err
	}
	c := measure.Comparison{Group: Group, Name: fmt.Sprintf("%d messages", s.messages), Children: true, Cold: s.cold, Rounds: s.rounds}
	if s.messages == 1 {
		c.Name = "1 message"
	}
	for _, p := range plugins {
		name := path.Base(p.source)
		c.Sides = append(c.Sides, measure.Side{Name: name, Note: p.note, All: func(ctx context.Context, n int) error {
			for range n {
				if err := generate(ctx, filepath.Join(dir, name), request, files*p.files); err != nil {
					return err
				}
			}
			return nil
		}})
	}
	return b.Compare(ctx, c)
}

// generate runs a plugin once, and checks that it has made as many files as it should.
func generate(ctx context.Context, plugin string, request []byte, files int) error {
	command := exec.CommandContext(ctx, plugin)
	var out, text bytes.Buffer
	command.Stdin, command.Stdout, command.Stderr = bytes.NewReader(request), &out, &text
	if err := command.Run(); err != nil {
		return fmt.Errorf("%w\n%s", err, &text)
	}
	response := new(pluginpb.CodeGeneratorResponse)
	if err := proto.Unmarshal(out.Bytes(), response); err != nil {
		return err
	}
	if response.Error != nil {
		return errors.New(response.GetError())
	}
	if got := len(response.GetFile()); got != files {
		return fmt.Errorf("%d files, want %d", got, files)
	}
	return nil
}
