package gen

import (
	"cmp"
	"slices"
	"strings"

	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"

	eventv1 "github.com/micro-event/micro-event/proto/micro/event/v1"
)

// event is a message that carries the option.
type event struct {
	file    *source
	message *protogen.Message
	names   names
	options *eventv1.EventOptions

	topic    string
	wireType string
	key      fieldPath // nil: no key
	headers  []header
}

// header is a header that is copied from a field.
type header struct {
	name  string
	value fieldPath
}

// hasFields reports whether the event copies anything from fields.
func (e *event) hasFields() bool { return e.key != nil || len(e.headers) > 0 }

// source is a .proto file of the request and its events.
type source struct {
	*protogen.File
	output output
	events []*event
}

// readSources returns the files of the request that have events: first those
// that are only imported, then those to generate, each in the order of their
// paths, so that the order of the request does not matter.
func readSources(plugin *protogen.Plugin, params parameters) []*source {
	var sources []*source
	for _, f := range plugin.Files {
		s := &source{File: f, output: newOutput(f, params.packageSuffix)}
		s.addEvents(f.Messages)
		if len(s.events) > 0 {
			sources = append(sources, s)
		}
	}
	slices.SortFunc(sources, func(a, b *source) int {
		if a.Generate != b.Generate {
			if b.Generate {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.Desc.Path(), b.Desc.Path())
	})
	return sources
}

func (s *source) addEvents(messages []*protogen.Message) {
	for _, m := range messages {
		if options, ok := m.Desc.Options().(*descriptorpb.MessageOptions); ok && proto.HasExtension(options, eventv1.E_Event) {
			s.events = append(s.events, newEvent(s, m, proto.GetExtension(options, eventv1.E_Event).(*eventv1.EventOptions)))
		}
		s.addEvents(m.Messages)
	}
}

func newEvent(s *source, m *protogen.Message, options *eventv1.EventOptions) *event {
	return &event{
		file:     s,
		message:  m,
		names:    newNames(m.GoIdent.GoName),
		options:  options,
		topic:    cmp.Or(options.GetTopic(), string(m.Desc.FullName())),
		wireType: cmp.Or(options.GetType(), string(m.Desc.FullName())),
	}
}

// goType returns the Go type of the message as generated code refers to it.
func (e *event) goType() string { return e.file.output.qualifier + e.message.GoIdent.GoName }

// shortName returns the name of the message inside its protobuf package.
func (e *event) shortName() string {
	return strings.TrimPrefix(string(e.message.Desc.FullName()), string(e.file.Desc.Package())+".")
}

// deprecated reports whether the message or its file is deprecated.
func (e *event) deprecated() bool {
	return e.message.Desc.Options().(*descriptorpb.MessageOptions).GetDeprecated() ||
		e.file.Desc.Options().(*descriptorpb.FileOptions).GetDeprecated()
}
