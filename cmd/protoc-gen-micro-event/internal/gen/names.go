package gen

import (
	"go/token"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/compiler/protogen"
)

const (
	contextPackage = protogen.GoImportPath("context")
	strconvPackage = protogen.GoImportPath("strconv")
	eventPackage   = protogen.GoImportPath("github.com/micro-event/micro-event/runtime/event")
	protoPackage   = protogen.GoImportPath("google.golang.org/protobuf/proto")
)

// names are the identifiers that one event declares in its Go package.
type names struct {
	topic        string
	spec         string
	publish      string
	newPublisher string
	subscribe    string
}

// newNames names the declarations of a message by its Go name, which begins with
// an upper-case letter and is unique in its package, so that only names of
// different kinds can collide.
func newNames(message string) names {
	return names{
		topic:        message + "Topic",
		spec:         unexported(message) + "Spec",
		publish:      "Publish" + message,
		newPublisher: "New" + message + "Publisher",
		subscribe:    "Subscribe" + message,
	}
}

// all returns the names in the order of their declarations.
func (n names) all() []string {
	return []string{n.topic, n.spec, n.publish, n.newPublisher, n.subscribe}
}

// unexported returns the Go name with its first letter in lower case.
func unexported(name string) string {
	return string(name[0]|0x20) + name[1:]
}

// usedInBodies are the identifiers that generated code uses beside the names of
// events, imports, parameters, locals and predeclared types, and the one that
// no import may have.
var usedInBodies = []string{
	"context", "event", "proto", "strconv",
	"ctx", "p", "e", "s", "h", "m", "f", "opts",
	"error", "string", "int64", "uint64", "init",
}

// output is where the events of one .proto file are generated.
type output struct {
	filename    string // without goExtension
	packageName string
	importPath  protogen.GoImportPath

	// qualifier goes before the Go name of a message: the name that the package
	// of the messages is imported by, and a dot, or nothing in the same package.
	qualifier string
}

// goExtension ends the name of every generated file.
const goExtension = ".go"

// newOutput names the generated file. With a package suffix its package is a
// folder beneath the package of the messages, as the Connect plugin has it.
func newOutput(f *protogen.File, suffix string) output {
	o := output{
		filename:    f.GeneratedFilenamePrefix + ".event",
		packageName: string(f.GoPackageName),
		importPath:  f.GoImportPath,
	}
	if suffix == "" {
		return o
	}
	o.packageName += suffix
	o.importPath = protogen.GoImportPath(path.Join(string(f.GoImportPath), o.packageName))
	o.filename = path.Join(path.Dir(o.filename), o.packageName, path.Base(o.filename))
	o.qualifier = importName(string(f.GoPackageName)) + "."
	return o
}

// importName returns a name for the import of the package called name that no
// identifier in generated bodies hides. It is all lower case, so it is none of
// the names of an event.
func importName(name string) string {
	name = strings.ToLower(name)
	unique := name
	for i := 1; token.IsKeyword(unique) || slices.Contains(usedInBodies, unique); i++ {
		unique = name + strconv.Itoa(i)
	}
	return unique
}

// importLines returns the imports from outside the standard library, in the order
// of their paths.
func (s *source) importLines() []string {
	names := map[protogen.GoImportPath]string{eventPackage: ""}
	if s.needsProto() {
		names[protoPackage] = ""
	}
	if q := s.output.qualifier; q != "" {
		names[s.GoImportPath] = strings.TrimSuffix(q, ".") + " "
	}
	var lines []string
	for _, path := range slices.Sorted(maps.Keys(names)) {
		lines = append(lines, names[path]+strconv.Quote(string(path)))
	}
	return lines
}

// needsProto reports whether a spec of the file has functions.
func (s *source) needsProto() bool {
	return slices.ContainsFunc(s.events, (*event).hasFields)
}

// needsStrconv reports whether a function of a spec converts a value.
func (s *source) needsStrconv() bool {
	return slices.ContainsFunc(s.events, func(e *event) bool {
		return e.key.needsStrconv() || slices.ContainsFunc(e.headers, func(h header) bool { return h.value.needsStrconv() })
	})
}
