package gen_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/format"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"maps"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"

	"google.golang.org/protobuf/cmd/protoc-gen-go/internal_gengo"
	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/pluginpb"
)

// checkGo fails the test unless every file of the response is formatted and
// compiles beside what protoc-gen-go generates for all files of the request.
func checkGo(t testing.TB, req *pluginpb.CodeGeneratorRequest, resp *pluginpb.CodeGeneratorResponse) {
	t.Helper()
	messages := messageCode(t, req)
	if err := goError(messages, resp); err != nil {
		t.Error(err)
	}
	if err := goError(opaqueVariant(messages), resp); err != nil {
		t.Errorf("with the build tag protoopaque: %v", err)
	}
}

// messageCode returns what protoc-gen-go generates for the request, and for the
// files it imports, by name.
func messageCode(t testing.TB, req *pluginpb.CodeGeneratorRequest) map[string]string {
	t.Helper()
	files, err := messageFiles(req)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func messageFiles(req *pluginpb.CodeGeneratorRequest) (map[string]string, error) {
	req = proto.CloneOf(req)
	req.Parameter = proto.String(foreignParameters(req.GetParameter()))
	plugin, err := protogen.Options{}.New(req)
	if err != nil {
		return nil, err
	}
	for _, f := range plugin.Files {
		if !isLinked(string(f.GoImportPath)) {
			internal_gengo.GenerateFile(plugin, f)
		}
	}
	resp := plugin.Response()
	if resp.Error != nil {
		return nil, errors.New(resp.GetError())
	}
	return output(resp), nil
}

// foreignParameters leaves out the parameters that protoc-gen-go does not have, and
// those that would hide the import path of a file.
func foreignParameters(all string) string {
	return strings.Join(slices.DeleteFunc(strings.Split(all, ","), func(p string) bool {
		return strings.HasPrefix(p, "package_suffix=") || strings.HasPrefix(p, "paths=") || strings.HasPrefix(p, "module=")
	}), ",")
}

// opaqueVariant returns the files that are built with the tag protoopaque.
func opaqueVariant(messages map[string]string) map[string]string {
	variant := maps.Clone(messages)
	for name, content := range messages {
		if base, ok := strings.CutSuffix(name, opaqueSuffix); ok {
			delete(variant, name)
			variant[base+".pb.go"] = content
		}
	}
	return variant
}

// opaqueSuffix ends the names of files that are built only with the tag.
const opaqueSuffix = "_protoopaque.pb.go"

// goError says why the code of both plugins does not compile together, or why
// the code of ours is not formatted.
func goError(messages map[string]string, resp *pluginpb.CodeGeneratorResponse) error {
	checker := newGoChecker()
	for _, f := range resp.File {
		formatted, err := format.Source([]byte(f.GetContent()))
		switch {
		case err != nil:
			return fmt.Errorf("%s: %w\n%s", f.GetName(), err, f.GetContent())
		case string(formatted) != f.GetContent():
			return fmt.Errorf("%s: is not formatted: got\n%s\ngofmt\n%s", f.GetName(), f.GetContent(), formatted)
		}
		if err := checker.add(f.GetName(), f.GetContent()); err != nil {
			return err
		}
	}
	for name, content := range messages {
		if err := checker.add(name, content); err != nil {
			return err
		}
	}
	return checker.check()
}

// goChecker type-checks packages that exist in memory only.
type goChecker struct {
	fset     *token.FileSet
	files    map[string][]*ast.File // by import path
	packages map[string]*types.Package
}

func newGoChecker() *goChecker {
	return &goChecker{token.NewFileSet(), make(map[string][]*ast.File), make(map[string]*types.Package)}
}

// add adds a file whose folder is its import path. Files that are built only
// with a tag are left out.
func (c *goChecker) add(name, content string) error {
	if strings.HasSuffix(name, opaqueSuffix) {
		return nil
	}
	f, err := parser.ParseFile(c.fset, name, content, parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	c.files[path.Dir(name)] = append(c.files[path.Dir(name)], f)
	return nil
}

func (c *goChecker) check() error {
	for path := range c.files {
		if _, err := c.Import(path); err != nil {
			return err
		}
	}
	return nil
}

// Import implements types.Importer.
func (c *goChecker) Import(path string) (*types.Package, error) {
	if p := c.packages[path]; p != nil {
		return p, nil
	}
	files, ok := c.files[path]
	if !ok {
		return linkedPackages().Import(path)
	}
	var errs []error
	config := types.Config{Importer: c, Error: func(err error) { errs = append(errs, err) }}
	p, err := config.Check(path, c.fset, files, nil)
	c.packages[path] = p
	if len(errs) > 0 {
		err = errors.Join(errs...) // all of them, where err is the first
	}
	return p, err
}

// linkedPackages imports the packages that generated code depends on from the
// export data of the build cache.
var linkedPackages = sync.OnceValue(func() types.Importer {
	return lockedImporter{importer: importer.ForCompiler(token.NewFileSet(), "gc", openExportData)}
})

// lockedImporter lets parallel tests share an importer.
type lockedImporter struct {
	importer types.Importer
}

var importerLock sync.Mutex

func (i lockedImporter) Import(path string) (*types.Package, error) {
	importerLock.Lock()
	defer importerLock.Unlock()
	return i.importer.Import(path)
}

func openExportData(path string) (io.ReadCloser, error) {
	file, ok := exportData()[path]
	if !ok {
		return nil, fmt.Errorf("no export data of %s", path)
	}
	return os.Open(file)
}

// exportData returns the files of export data by import path.
var exportData = sync.OnceValue(func() map[string]string {
	cmd := exec.CommandContext(context.Background(), "go", "list", "-export", "-deps", "-f", "{{.ImportPath}} {{.Export}}",
		"github.com/micro-event/micro-event/runtime/event",
		"github.com/micro-event/micro-event/proto/micro/event/v1",
		"google.golang.org/protobuf/runtime/protoimpl",
		"google.golang.org/protobuf/types/gofeaturespb",
		"google.golang.org/protobuf/types/known/timestamppb")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		panic(fmt.Sprintf("go list: %v\n%s", err, &stderr))
	}
	files := make(map[string]string)
	for line := range strings.Lines(string(out)) {
		if path, file, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			files[path] = file
		}
	}
	return files
})

// isLinked reports whether a package exists, so that protoc-gen-go need not
// generate it.
func isLinked(path string) bool {
	_, ok := exportData()[path]
	return ok
}

// codeLines counts lines that are neither blank nor comments.
func codeLines(source string) int {
	lines := strings.Split(source, "\n")
	return len(slices.DeleteFunc(lines, func(line string) bool {
		line = strings.TrimSpace(line)
		return line == "" || strings.HasPrefix(line, "//")
	}))
}
