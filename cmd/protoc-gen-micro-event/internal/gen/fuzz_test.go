package gen_test

import (
	"go/format"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/gofeaturespb"
	"google.golang.org/protobuf/types/pluginpb"

	"github.com/micro-event/micro-event/cmd/protoc-gen-micro-event/internal/gen"
	eventv1 "github.com/micro-event/micro-event/proto/micro/event/v1"
)

// fuzzSchema is a schema whose names and options are arbitrary strings.
type fuzzSchema struct {
	event, message, enum, field, oneof string
	options                            *eventv1.EventOptions
	goPackage, suffix                  string
	api                                gofeaturespb.GoFeatures_APILevel
}

// request returns a request for a file with the event, a message that is an event
// too, and nested ones.
func (s fuzzSchema) request() *pluginpb.CodeGeneratorRequest {
	eventOptions := &descriptorpb.MessageOptions{}
	proto.SetExtension(eventOptions, eventv1.E_Event, s.options)
	otherOptions := &descriptorpb.MessageOptions{}
	proto.SetExtension(otherOptions, eventv1.E_Event, &eventv1.EventOptions{})
	features := &descriptorpb.FeatureSet{}
	proto.SetExtension(features, gofeaturespb.E_Go, &gofeaturespb.GoFeatures{ApiLevel: &s.api})
	file := &descriptorpb.FileDescriptorProto{
		Name:    proto.String("test.proto"),
		Package: proto.String("test.v1"),
		Syntax:  proto.String("editions"),
		Edition: descriptorpb.Edition_EDITION_2023.Enum(),
		Options: &descriptorpb.FileOptions{GoPackage: proto.String("example.com/test;" + s.goPackage), Features: features},
		EnumType: []*descriptorpb.EnumDescriptorProto{{
			Name:  &s.enum,
			Value: []*descriptorpb.EnumValueDescriptorProto{{Name: proto.String(s.enum + "_ZERO"), Number: proto.Int32(0)}},
		}},
		MessageType: []*descriptorpb.DescriptorProto{
			{
				Name:    &s.event,
				Options: eventOptions,
				Field: []*descriptorpb.FieldDescriptorProto{
					field("id", 1, descriptorpb.FieldDescriptorProto_TYPE_STRING),
					field(s.field, 2, descriptorpb.FieldDescriptorProto_TYPE_UINT32),
					typed(field("sub", 3, descriptorpb.FieldDescriptorProto_TYPE_MESSAGE), s.message),
					typed(field("kind", 4, descriptorpb.FieldDescriptorProto_TYPE_ENUM), s.enum),
					repeated(field("many", 5, descriptorpb.FieldDescriptorProto_TYPE_BOOL)),
					field("raw", 6, descriptorpb.FieldDescriptorProto_TYPE_BYTES),
				},
			},
			{
				Name:       &s.message,
				OneofDecl:  []*descriptorpb.OneofDescriptorProto{{Name: &s.oneof}},
				NestedType: []*descriptorpb.DescriptorProto{{Name: &s.event, Options: otherOptions}},
				Field: []*descriptorpb.FieldDescriptorProto{
					inOneof(field(s.field, 1, descriptorpb.FieldDescriptorProto_TYPE_INT64)),
					inOneof(field("flag", 2, descriptorpb.FieldDescriptorProto_TYPE_BOOL)),
				},
			},
		},
	}
	return &pluginpb.CodeGeneratorRequest{
		FileToGenerate: []string{"test.proto"},
		Parameter:      proto.String("package_suffix=" + s.suffix),
		ProtoFile:      []*descriptorpb.FileDescriptorProto{file},
	}
}

func field(name string, number int32, kind descriptorpb.FieldDescriptorProto_Type) *descriptorpb.FieldDescriptorProto {
	return &descriptorpb.FieldDescriptorProto{
		Name: &name, Number: &number, Type: &kind, Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
	}
}

func typed(f *descriptorpb.FieldDescriptorProto, name string) *descriptorpb.FieldDescriptorProto {
	f.TypeName = proto.String(".test.v1." + name)
	return f
}

func repeated(f *descriptorpb.FieldDescriptorProto) *descriptorpb.FieldDescriptorProto {
	f.Label = descriptorpb.FieldDescriptorProto_LABEL_REPEATED.Enum()
	return f
}

func inOneof(f *descriptorpb.FieldDescriptorProto) *descriptorpb.FieldDescriptorProto {
	f.OneofIndex = proto.Int32(0)
	return f
}

// FuzzGenerate: whatever names and options are, the answer is an error or Go that
// is formatted and compiles, if the code of protoc-gen-go does.
func FuzzGenerate(f *testing.F) {
	add := func(s fuzzSchema) {
		o := s.options
		f.Add(s.event, s.message, s.enum, s.field, s.oneof, o.GetTopic(), o.GetType(), o.GetAliases()[0], o.GetKey(),
			o.GetHeaders()[0].GetName(), o.GetHeaders()[0].GetField(), s.goPackage, s.suffix, byte(s.api), false)
		f.Add(s.event, s.message, s.enum, s.field, s.oneof, "", "", "old", "id", "id2", "id", s.goPackage, s.suffix, byte(s.api), true)
	}
	options := func(topic, key, name, field string) *eventv1.EventOptions {
		return &eventv1.EventOptions{Topic: topic, Aliases: []string{"old"}, Key: key, Headers: []*eventv1.HeaderField{{Name: name, Field: field}}}
	}
	add(fuzzSchema{"Order", "Customer", "Kind", "number", "choice", options("shop.orders", "sub.number", "kind", "kind"), "testv1", "", 1})
	add(fuzzSchema{"order", "Order_Topic", "Publish", "order", "spec", options("", "id", "tenant", "sub.flag"), "event", "events", 2})
	add(fuzzSchema{"IsX_", "X", "E", "get_id", "spec", options("a-b_c", "id", "a", "get_id"), "p", "", 1})
	add(fuzzSchema{"A", "PublishA", "Topic", "func", "type", options("a..b", "many", "ce-id", "raw"), "string", "x", 3})
	add(fuzzSchema{"ATopic", "B", "C", "string", "reset", options("A.B", "string", "a`b", "sub"), "m", "", 3})
	f.Fuzz(func(t *testing.T, event, message, enum, field, oneof, topic, wireType, alias, key, headerName, headerField, goPackage, suffix string, api byte, asWords bool) {
		if asWords {
			for _, name := range []*string{&event, &message, &enum, &field, &oneof, &goPackage, &suffix} {
				*name = words(*name)
			}
		}
		s := fuzzSchema{event, message, enum, field, oneof, &eventv1.EventOptions{
			Topic: topic, Type: wireType, Aliases: []string{alias}, Key: key,
			Headers: []*eventv1.HeaderField{{Name: headerName, Field: headerField}, {Name: "id", Field: "id"}},
		}, goPackage, suffix, gofeaturespb.GoFeatures_APILevel(api%3 + 1)}
		req := s.request()
		resp := gen.Respond(req)
		if resp.Error != nil {
			if len(resp.File) > 0 || resp.GetError() == "" {
				t.Errorf("got error %q and %d files", resp.GetError(), len(resp.File))
			}
			return
		}
		messages, err := messageFiles(req)
		if err != nil {
			return // protoc-gen-go has its own limits
		}
		if err := goError(messages, resp); err != nil && goError(messages, &pluginpb.CodeGeneratorResponse{}) == nil {
			t.Error(err)
		}
	})
}

// words maps each byte to a word that generated names are made of, so that the
// names of a schema are valid and often collide.
func words(s string) string {
	vocabulary := []string{
		"Order", "order", "Topic", "Publish", "Subscribe", "New", "Publisher", "Spec",
		"is", "_", "X", "Get", "get_id", "case", "event", "Default",
	}
	var b strings.Builder
	for i := range min(len(s), 4) {
		b.WriteString(vocabulary[int(s[i])%len(vocabulary)])
	}
	return b.String()
}

// FuzzComment: no comment of the schema is more than a comment in Go.
func FuzzComment(f *testing.F) {
	for _, comment := range []string{
		"An order.\n", " - a\n - b\n", "+build x", "\t+build x\n", " 1. a\n\n    b\n", "*/\n/*", "\x00\xff\ufeff\r\n\f\v\u2028", " # A\n\n text\n\n\n\ttab\n",
		" [a]: https://example.com\n", "  - [a]: https://example.com\n", "go:embed x\nline x:1\nexport X\n", " Deprecated: no.\n", " ``a''\n",
	} {
		f.Add(comment)
	}
	f.Fuzz(func(t *testing.T, comment string) {
		s := fuzzSchema{"Order", "Customer", "Kind", "number", "choice", &eventv1.EventOptions{}, "testv1", "", 1}
		req := s.request()
		plain := gen.Respond(req).File[0].GetContent()
		req.ProtoFile[0].SourceCodeInfo = &descriptorpb.SourceCodeInfo{
			Location: []*descriptorpb.SourceCodeInfo_Location{{Path: []int32{4, 0}, Span: []int32{0, 0, 1}, LeadingComments: &comment}},
		}
		got := gen.Respond(req).File[0].GetContent()
		formatted, err := format.Source([]byte(got))
		if err != nil {
			t.Fatalf("%v\n%s", err, got)
		}
		if string(formatted) != got {
			t.Errorf("is not formatted: got\n%s\ngofmt\n%s", got, formatted)
		}
		if withoutComments(got) != withoutComments(plain) {
			t.Errorf("a comment changed the code:\n%s", got)
		}
	})
}

// withoutComments leaves out lines that are comments and no directives.
func withoutComments(source string) string {
	var code strings.Builder
	for line := range strings.Lines(source) {
		if line != "//\n" && !strings.HasPrefix(line, "// ") && !strings.HasPrefix(line, "//\t") {
			code.WriteString(line)
		}
	}
	return code.String()
}
