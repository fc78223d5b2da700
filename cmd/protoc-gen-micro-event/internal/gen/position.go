package gen

import (
	"cmp"
	"fmt"
	"slices"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// position is a place in a .proto file. Line and column count from 1; they are 0
// when the request has no source positions.
type position struct {
	file         string
	line, column int
}

func (p position) String() string {
	if p.line == 0 {
		return p.file
	}
	return fmt.Sprintf("%s:%d:%d", p.file, p.line, p.column)
}

func (p position) compare(o position) int {
	return cmp.Or(cmp.Compare(p.file, o.file), cmp.Compare(p.line, o.line), cmp.Compare(p.column, o.column))
}

// Numbers of the fields that paths in source positions are made of.
const (
	fileOptionsNumber    = 8  // FileDescriptorProto.options
	goPackageNumber      = 11 // FileOptions.go_package
	messageOptionsNumber = 7  // DescriptorProto.options
	topicNumber          = 1  // of EventOptions, as the next
	typeNumber           = 2
	aliasesNumber        = 3
	keyNumber            = 4
	headersNumber        = 5
)

// position returns where the message begins.
func (e *event) position() position { return e.locate(e.message.Location.Path) }

// optionPosition returns where a part of the option is set: at its own statement,
// as in "option (micro.event.v1.event).topic", or else at the one that sets the
// whole option. The part is a field number, and an index when it is repeated.
func (e *event) optionPosition(part ...int32) position {
	path := append(slices.Clone(e.message.Location.Path), messageOptionsNumber, optionNumber)
	option := len(path)
	for path = append(path, part...); len(path) >= option; path = path[:len(path)-1] {
		if p := e.locate(path); p.line != 0 {
			return p
		}
	}
	return e.position()
}

func (e *event) locate(path protoreflect.SourcePath) position { return e.file.locate(path) }

// locate returns the position of what path leads to; its line is 0 when there is
// no such thing.
func (s *source) locate(path protoreflect.SourcePath) position {
	p := position{file: s.Desc.Path()}
	if loc := s.Desc.SourceLocations().ByPath(path); loc.Path != nil {
		p.line, p.column = loc.StartLine+1, loc.StartColumn+1
	}
	return p
}
