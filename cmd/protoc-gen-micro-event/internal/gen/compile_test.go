package gen_test

import (
	"bytes"
	"context"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/bufbuild/protocompile"
	"github.com/bufbuild/protocompile/linker"
	"github.com/bufbuild/protocompile/protoutil"
	"golang.org/x/tools/txtar"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/gofeaturespb"
	"google.golang.org/protobuf/types/pluginpb"

	"github.com/micro-event/micro-event/cmd/protoc-gen-micro-event/internal/gen"
	schema "github.com/micro-event/micro-event/proto"
)

// testCase is a txtar archive. Files that end in .proto are compiled, and
// generated unless "imports" lists them; "param" is the parameter of the plugin;
// "image" names a file of compiled descriptors to use instead of .proto files;
// "positions" is "all" for those inside the value of an option too, as buf has
// them and protoc has not;
// files beneath want/ are the expected output.
type testCase struct {
	path    string
	archive *txtar.Archive
}

func readCase(t testing.TB, path string) *testCase {
	t.Helper()
	archive, err := txtar.ParseFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return &testCase{path, archive}
}

// casePaths returns the archives of a folder of testdata.
func casePaths(t testing.TB, dir string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("testdata", dir, "*.txtar"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no archives in testdata/%s: %v", dir, err)
	}
	return paths
}

func (c *testCase) file(name string) string {
	for _, f := range c.archive.Files {
		if f.Name == name {
			return strings.TrimSpace(string(f.Data))
		}
	}
	return ""
}

// setWant replaces the expected output of the archive on disk.
func (c *testCase) setWant(t *testing.T, got map[string]string) {
	t.Helper()
	kept := slices.DeleteFunc(c.archive.Files, func(f txtar.File) bool { return strings.HasPrefix(f.Name, "want/") })
	for _, name := range slices.Sorted(maps.Keys(got)) {
		kept = append(kept, txtar.File{Name: "want/" + name, Data: []byte(got[name])})
	}
	c.archive.Files = kept
	if err := os.WriteFile(c.path, txtar.Format(c.archive), 0o644); err != nil {
		t.Fatal(err)
	}
}

func (c *testCase) want() map[string]string {
	want := make(map[string]string)
	for _, f := range c.archive.Files {
		if name, ok := strings.CutPrefix(f.Name, "want/"); ok {
			want[name] = string(f.Data)
		}
	}
	return want
}

// request compiles the archive as buf or protoc would.
func (c *testCase) request(t testing.TB) *pluginpb.CodeGeneratorRequest {
	t.Helper()
	req := &pluginpb.CodeGeneratorRequest{Parameter: proto.String(c.file("param"))}
	if image := c.file("image"); image != "" {
		req.ProtoFile = readImage(t, filepath.Join(filepath.Dir(c.path), image))
		req.FileToGenerate = []string{strings.TrimSuffix(image, filepath.Ext(image)) + ".proto"}
		return req
	}
	sources := make(map[string]string)
	imports := strings.Fields(c.file("imports"))
	for _, f := range c.archive.Files {
		if strings.HasSuffix(f.Name, ".proto") {
			sources[f.Name] = string(f.Data)
			if !slices.Contains(imports, f.Name) {
				req.FileToGenerate = append(req.FileToGenerate, f.Name)
			}
		}
	}
	mode := protocompile.SourceInfoStandard
	if c.file("positions") == "all" {
		mode |= protocompile.SourceInfoExtraOptionLocations
	}
	req.ProtoFile = compileWith(t, sources, mode)
	return req
}

// readImage returns the files of an image, and before them those that it was built
// without: the option schema and its import.
func readImage(t testing.TB, path string) []*descriptorpb.FileDescriptorProto {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var image descriptorpb.FileDescriptorSet
	if err := proto.Unmarshal(b, &image); err != nil {
		t.Fatal(err)
	}
	return append(compile(t, map[string]string{schema.Path: string(schema.Options())}), image.File...)
}

// compile compiles the sources, which may import the option schema, and returns
// the descriptors of all files in topological order.
func compile(t testing.TB, sources map[string]string) []*descriptorpb.FileDescriptorProto {
	t.Helper()
	return compileWith(t, sources, protocompile.SourceInfoStandard)
}

func compileWith(t testing.TB, sources map[string]string, mode protocompile.SourceInfoMode) []*descriptorpb.FileDescriptorProto {
	t.Helper()
	names := slices.Sorted(maps.Keys(sources))
	if _, ok := sources[schema.Path]; !ok {
		sources = maps.Clone(sources)
		sources[schema.Path] = string(schema.Options())
	}
	compiler := protocompile.Compiler{
		Resolver: protocompile.CompositeResolver{
			protocompile.WithStandardImports(&protocompile.SourceResolver{Accessor: protocompile.SourceAccessorFromMap(sources)}),
			protocompile.ResolverFunc(findGoFeatures),
		},
		SourceInfoMode: mode,
	}
	files, err := compiler.Compile(context.Background(), names...)
	if err != nil {
		t.Fatal(err)
	}
	return linked(t, sortedDescriptors(files))
}

// linked replaces the options of the compiler by those of the Go packages that
// the plugin links, as if it had read the files.
func linked(t testing.TB, files []*descriptorpb.FileDescriptorProto) []*descriptorpb.FileDescriptorProto {
	t.Helper()
	b, err := proto.Marshal(&descriptorpb.FileDescriptorSet{File: files})
	if err != nil {
		t.Fatal(err)
	}
	var set descriptorpb.FileDescriptorSet
	if err := proto.Unmarshal(b, &set); err != nil {
		t.Fatal(err)
	}
	return set.File
}

// findGoFeatures finds the schema of the Go features of editions.
func findGoFeatures(path string) (protocompile.SearchResult, error) {
	if file := gofeaturespb.File_google_protobuf_go_features_proto; file.Path() == path {
		return protocompile.SearchResult{Desc: file}, nil
	}
	return protocompile.SearchResult{}, fs.ErrNotExist
}

func sortedDescriptors(files linker.Files) []*descriptorpb.FileDescriptorProto {
	var sorted []*descriptorpb.FileDescriptorProto
	seen := make(map[string]bool)
	var add func(f protoreflect.FileDescriptor)
	add = func(f protoreflect.FileDescriptor) {
		if seen[f.Path()] {
			return
		}
		seen[f.Path()] = true
		for i := range f.Imports().Len() {
			add(f.Imports().Get(i).FileDescriptor)
		}
		sorted = append(sorted, protoutil.ProtoFromFileDescriptor(f))
	}
	for _, f := range files {
		add(f)
	}
	return sorted
}

// respond runs the plugin as buf and protoc do, through its bytes.
func respond(t testing.TB, req *pluginpb.CodeGeneratorRequest) *pluginpb.CodeGeneratorResponse {
	t.Helper()
	in, err := proto.Marshal(req)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := gen.Run(bytes.NewReader(in), &out); err != nil {
		t.Fatal(err)
	}
	resp := &pluginpb.CodeGeneratorResponse{}
	if err := proto.Unmarshal(out.Bytes(), resp); err != nil {
		t.Fatal(err)
	}
	return resp
}

// output returns the files of a response, or its error, by name.
func output(resp *pluginpb.CodeGeneratorResponse) map[string]string {
	out := make(map[string]string)
	for _, f := range resp.File {
		out[f.GetName()] = f.GetContent()
	}
	if resp.Error != nil {
		out["error"] = resp.GetError() + "\n"
	}
	return out
}
