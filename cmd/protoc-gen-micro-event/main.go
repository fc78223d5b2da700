// Protoc-gen-micro-event is a plugin for buf and protoc. It generates a typed
// publish function and a typed subscribe function for every protobuf message
// that carries the option (micro.event.v1.event).
package main

import (
	"fmt"
	"io"
	"os"
	"runtime/debug"

	"github.com/micro-event/micro-event/cmd/protoc-gen-micro-event/internal/gen"
)

// devVersion is reported by a plugin that was built from a working copy.
const devVersion = "v0.1.0-devel"

const usage = `protoc-gen-micro-event generates typed publish and subscribe functions for
protobuf messages that carry the option (micro.event.v1.event).

It is run by buf or protoc, not directly. In buf.gen.yaml:

  plugins:
    - local: [go, tool, protoc-gen-micro-event]
      out: gen
      opt: paths=source_relative
      strategy: all

Commands:

  export DIR   write micro/event/v1/options.proto beneath DIR, overwriting it
  --version    print the version
  --help       print this text

Parameters (opt in buf.gen.yaml, --micro-event_opt with protoc):

` + gen.ParametersHelp

func main() {
	if err := run(os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "protoc-gen-micro-event:", err)
		os.Exit(1)
	}
}

func run(args []string, stdin io.Reader, stdout io.Writer) error {
	switch {
	case len(args) == 0:
		return gen.Run(stdin, stdout)
	case len(args) == 1 && args[0] == "--version":
		_, err := fmt.Fprintln(stdout, "protoc-gen-micro-event", version())
		return err
	case len(args) == 1 && (args[0] == "--help" || args[0] == "-h"):
		_, err := io.WriteString(stdout, usage)
		return err
	case len(args) == 2 && args[0] == "export":
		return gen.Export(args[1])
	}
	return fmt.Errorf("unknown arguments %q: see --help", args)
}

// version is the version of the module that the plugin was built from, which Go
// records when the plugin is a tool or is installed.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" || info.Main.Version == "(devel)" {
		return devVersion
	}
	return info.Main.Version
}
