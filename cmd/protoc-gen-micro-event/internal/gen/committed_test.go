package gen_test

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/pluginpb"
)

const gentestDir = "../gentest"

// gentestParameters has the parameter for each schema of gentest, but for the
// module.
var gentestParameters = map[string]string{
	"open.proto":   "",
	"hybrid.proto": "",
	"opaque.proto": ",package_suffix=events",
}

// TestCommittedCode makes sure that the code that the tests of package gentest execute is what
// the generator of today writes.
func TestCommittedCode(t *testing.T) {
	for name, parameter := range gentestParameters {
		source, err := os.ReadFile(filepath.Join(gentestDir, name))
		if err != nil {
			t.Fatal(err)
		}
		const module = "module=github.com/micro-event/micro-event/cmd/protoc-gen-micro-event/internal/gentest"
		req := &pluginpb.CodeGeneratorRequest{
			FileToGenerate: []string{name},
			ProtoFile:      compile(t, map[string]string{name: string(source)}),
			Parameter:      proto.String(module + parameter),
		}
		got := output(respond(t, req))
		for file, content := range messageCode(t, req) {
			if file, ok := strings.CutPrefix(file, strings.TrimPrefix(module, "module=")+"/"); ok {
				got[file] = content
			}
		}
		for _, file := range slices.Sorted(maps.Keys(got)) {
			checkCommitted(t, filepath.Join(gentestDir, file), got[file])
		}
	}
}

func checkCommitted(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want, err := os.ReadFile(path); err != nil || string(want) != got {
		t.Errorf("%s is out of date (%v): run go test with -update", path, err)
	}
}
