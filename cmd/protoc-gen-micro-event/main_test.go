package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/pluginpb"

	schema "github.com/micro-event/micro-event/proto"
)

// TestMain makes the test binary the plugin when a test asks for it.
func TestMain(m *testing.M) {
	if os.Getenv("TEST_RUN_PLUGIN") != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// plugin runs the plugin as a process.
func plugin(t *testing.T, stdin []byte, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = append(os.Environ(), "TEST_RUN_PLUGIN=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(stdin), &out, &errs
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

func TestCommandLine(t *testing.T) {
	tests := []struct {
		name           string
		args           []string
		stdin          string
		stdout, stderr string // how they begin
		code           int
	}{
		{"version", []string{"--version"}, "", "protoc-gen-micro-event v", "", 0},
		{"help", []string{"--help"}, "", "protoc-gen-micro-event generates typed publish and subscribe functions", "", 0},
		{"short help", []string{"-h"}, "", "protoc-gen-micro-event generates", "", 0},
		{"unknown argument", []string{"--verison"}, "", "", `protoc-gen-micro-event: unknown arguments ["--verison"]: see --help`, 1},
		{"export without a folder", []string{"export"}, "", "", `protoc-gen-micro-event: unknown arguments ["export"]`, 1},
		{"garbage", nil, "garbage", "", "protoc-gen-micro-event: read request: ", 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			stdout, stderr, code := plugin(t, []byte(tt.stdin), tt.args...)
			if !strings.HasPrefix(stdout, tt.stdout) || !strings.HasPrefix(stderr, tt.stderr) || code != tt.code {
				t.Errorf("got stdout %q, stderr %q, code %d, want %q, %q, %d", stdout, stderr, code, tt.stdout, tt.stderr, tt.code)
			}
			if (stdout == "") != (tt.stdout == "") || (stderr == "") != (tt.stderr == "") {
				t.Errorf("got stdout %q, stderr %q, want something on one of them only", stdout, stderr)
			}
		})
	}
}

// TestRefusedRequest: what is wrong with a request that could be read is said in
// the response, and the process ends well.
func TestRefusedRequest(t *testing.T) {
	in, err := proto.Marshal(&pluginpb.CodeGeneratorRequest{Parameter: proto.String("no_such=1")})
	if err != nil {
		t.Fatal(err)
	}
	stdout, stderr, code := plugin(t, in)
	var resp pluginpb.CodeGeneratorResponse
	if err := proto.Unmarshal([]byte(stdout), &resp); err != nil {
		t.Fatal(err)
	}
	const want = `unknown parameter "no_such"`
	if !strings.HasPrefix(resp.GetError(), want) || stderr != "" || code != 0 {
		t.Errorf("got error %q, stderr %q, code %d, want %q, nothing, 0", resp.GetError(), stderr, code, want)
	}
}

func TestExport(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "third_party", filepath.FromSlash(schema.Path))
	for range 2 { // the second time over a changed file
		if _, stderr, code := plugin(t, nil, "export", filepath.Join(dir, "third_party")); code != 0 {
			t.Fatalf("got code %d, stderr %q", code, stderr)
		}
		got, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		want, err := os.ReadFile(filepath.FromSlash("../../proto/" + schema.Path))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
		if err := os.WriteFile(name, []byte("changed"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if _, stderr, code := plugin(t, nil, "export", name); code != 1 || !strings.HasPrefix(stderr, "protoc-gen-micro-event: export: ") {
		t.Errorf("export into a file: got code %d, stderr %q, want an error", code, stderr)
	}
}
