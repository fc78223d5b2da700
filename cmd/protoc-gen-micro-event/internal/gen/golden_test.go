package gen_test

import (
	"flag"
	"maps"
	"path/filepath"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"
)

var update = flag.Bool("update", false, "write the output that tests get as the output they want")

// TestGolden pins what is generated. All of it is formatted and compiles beside
// the code of protoc-gen-go.
func TestGolden(t *testing.T) {
	for _, path := range casePaths(t, "golden") {
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			c := readCase(t, path)
			req := c.request(t)
			resp := respond(t, req)
			if resp.Error != nil {
				t.Fatalf("got error:\n%s", resp.GetError())
			}
			checkGo(t, req, resp)
			checkOutput(t, c, output(resp))
		})
	}
}

// TestErrors pins what is said of mistakes. Nothing is generated then.
func TestErrors(t *testing.T) {
	for _, path := range casePaths(t, "errors") {
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			c := readCase(t, path)
			resp := respond(t, c.request(t))
			if resp.Error == nil || len(resp.File) > 0 {
				t.Errorf("got error %q and %d files, want an error only", resp.GetError(), len(resp.File))
			}
			checkOutput(t, c, output(resp))
		})
	}
}

func checkOutput(t *testing.T, c *testCase, got map[string]string) {
	t.Helper()
	if *update {
		c.setWant(t, got)
	}
	want := c.want()
	for _, name := range slices.Sorted(maps.Keys(got)) {
		if got[name] != want[name] {
			t.Errorf("%s: got\n%s\nwant\n%s", name, got[name], want[name])
		}
		delete(want, name)
	}
	for name := range want {
		t.Errorf("%s: not generated", name)
	}
}

// TestOutputDependsOnSchemaOnly generates each golden twice, and with its files
// in the opposite order.
func TestOutputDependsOnSchemaOnly(t *testing.T) {
	for _, dir := range []string{"golden", "errors"} {
		for _, path := range casePaths(t, dir) {
			req := readCase(t, path).request(t)
			want := respond(t, req)
			if got := respond(t, req); !proto.Equal(got, want) {
				t.Errorf("%s: second run differs:\n%v\nfirst:\n%v", path, got, want)
			}
			slices.Reverse(req.FileToGenerate)
			slices.Reverse(req.ProtoFile)
			if got := respond(t, req); !proto.Equal(got, want) {
				t.Errorf("%s: permuted request differs:\n%v\nfirst:\n%v", path, got, want)
			}
		}
	}
}
