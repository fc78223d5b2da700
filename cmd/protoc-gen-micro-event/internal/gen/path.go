package gen

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// fieldPath leads from a message through singular messages to a field that has a
// text form.
type fieldPath []*protogen.Field

// pathHint says what a path has to be.
const pathHint = "a path leads through singular message fields to a string, an integer, a bool or an enum"

// resolvePath finds the fields that path names, beginning at m. When it cannot,
// it says what is wrong and how to fix it.
func resolvePath(m *protogen.Message, path string) (_ fieldPath, wrong, hint string) {
	var fields fieldPath
	names := strings.Split(path, ".")
	for i, name := range names {
		field := findField(m, name)
		if field == nil {
			return nil, fmt.Sprintf("message %s has no field %q", m.Desc.FullName(), name), fieldsHint(m)
		}
		if wrong := fieldFault(field, i == len(names)-1); wrong != "" {
			return nil, fmt.Sprintf("field %s %s", field.Desc.FullName(), wrong), pathHint
		}
		fields, m = append(fields, field), field.Message
	}
	return fields, "", ""
}

func findField(m *protogen.Message, name string) *protogen.Field {
	for _, f := range m.Fields {
		if string(f.Desc.Name()) == name {
			return f
		}
	}
	return nil
}

// fieldFault says why a field cannot stand in a path, as its last or before.
func fieldFault(f *protogen.Field, last bool) string {
	switch {
	case f.Desc.IsMap():
		return "is a map"
	case f.Desc.IsList():
		return "is repeated"
	case last && f.Message != nil:
		return "is a message"
	case last && valueFormat(f.Desc.Kind()) == noFormat:
		return "has the type " + f.Desc.Kind().String() + ", which has no text form"
	case !last && f.Message == nil:
		return "is not a message, so no path leads through it"
	}
	return ""
}

// fieldsHint lists the fields of m, or the first of them.
func fieldsHint(m *protogen.Message) string {
	const most = 10
	var names []string
	for _, f := range m.Fields[:min(len(m.Fields), most)] {
		names = append(names, string(f.Desc.Name()))
	}
	switch {
	case len(names) == 0:
		return "the message has no fields"
	case len(m.Fields) > most:
		names = append(names, "...")
	}
	return "its fields are " + strings.Join(names, ", ")
}

// String returns the path as it stands in the schema.
func (p fieldPath) String() string {
	var names []string
	for _, f := range p {
		names = append(names, string(f.Desc.Name()))
	}
	return strings.Join(names, ".")
}

// format says how the value of a field becomes text.
type format int

const (
	noFormat format = iota
	formatString
	formatBool
	formatEnum
	formatInt32
	formatInt64
	formatUint32
	formatUint64
)

func valueFormat(k protoreflect.Kind) format {
	switch k {
	case protoreflect.StringKind:
		return formatString
	case protoreflect.BoolKind:
		return formatBool
	case protoreflect.EnumKind:
		return formatEnum
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		return formatInt32
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		return formatInt64
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return formatUint32
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return formatUint64
	default:
		return noFormat
	}
}

// value returns a Go expression for the text of the field in message m. Getters
// of a message that is not set give the default of the field.
func (p fieldPath) value(m string) string {
	var get strings.Builder
	get.WriteString(m)
	for _, f := range p {
		get.WriteString("." + getter(f) + "()")
	}
	switch v := get.String(); p.format() {
	case formatBool:
		return "strconv.FormatBool(" + v + ")"
	case formatEnum:
		return v + ".String()"
	case formatInt32:
		return "strconv.FormatInt(int64(" + v + "), 10)"
	case formatInt64:
		return "strconv.FormatInt(" + v + ", 10)"
	case formatUint32:
		return "strconv.FormatUint(uint64(" + v + "), 10)"
	case formatUint64:
		return "strconv.FormatUint(" + v + ", 10)"
	default:
		return v
	}
}

// getter returns the name of the getter of f. Code of the hybrid API is built with
// the opaque API too, under a build tag; where its getters differ, the older name
// may be the one that both have.
func getter(f *protogen.Field) string {
	name, older := f.MethodName("Get")
	if opaque := "Get" + f.BuilderFieldName(); older == opaque {
		return older
	}
	return name
}

func (p fieldPath) format() format { return valueFormat(p[len(p)-1].Desc.Kind()) }

// needsStrconv reports whether value refers to package strconv.
func (p fieldPath) needsStrconv() bool {
	return len(p) > 0 && p.format() != formatString && p.format() != formatEnum
}
