package gen

import (
	"fmt"
	"go/token"
	"strings"
	"unicode"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// check checks the events of the file, each by itself, and its Go package.
func (s *source) check(ps *problems) {
	if wrong := s.output.fault(s); wrong != "" {
		at := s.locate(protoreflect.SourcePath{fileOptionsNumber, goPackageNumber})
		ps.addText(at, fmt.Sprintf("go_package: %s (change go_package, or the parameters that replace it)", wrong))
	}
	for _, e := range s.events {
		e.check(ps)
	}
}

// fault says why no Go code can be generated for the package of s.
func (o output) fault(s *source) string {
	switch {
	case !token.IsIdentifier(o.packageName) || o.packageName == "_":
		return fmt.Sprintf("%q is not a name of a Go package", o.packageName)
	case o.qualifier == "":
		return ""
	case s.GoPackageName == "main":
		return "package main cannot be imported, as package_suffix needs"
	case !isImportPath(string(s.GoImportPath)):
		return fmt.Sprintf("%q cannot be imported, as package_suffix needs", string(s.GoImportPath))
	}
	return ""
}

// isImportPath follows the rule of the Go specification and its compiler.
func isImportPath(path string) bool {
	return !strings.ContainsFunc(path, func(r rune) bool {
		return !unicode.IsGraphic(r) || unicode.IsSpace(r) || strings.ContainsRune("!\"#$%&'()*,:;<=>?[\\]^`{|}\uFFFD", r)
	})
}
