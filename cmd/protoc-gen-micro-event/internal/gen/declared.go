package gen

import (
	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/types/gofeaturespb"
)

// scope holds what declares each identifier of a Go package.
type scope map[string]declaration

// declaration is what an identifier stands for, such as message shop.v1.Order.
type declaration struct {
	kind, name string
}

func (d declaration) String() string { return d.kind + " " + d.name }

// addFile adds what protoc-gen-go declares for f, but for unexported variables
// that begin with file_, which no name of an event does.
func (s scope) addFile(f *protogen.File, plugin *protogen.Plugin) {
	s[f.GoDescriptorIdent.GoName] = declaration{"the descriptor of", f.Desc.Path()}
	s.addExtensions(f.Extensions)
	s.addEnums(f.Enums)
	s.addMessages(f.Messages)
	s.addPublicImports(f, plugin)
}

// addPublicImports adds what f forwards from other Go packages: their exported
// names.
func (s scope) addPublicImports(f *protogen.File, plugin *protogen.Plugin) {
	for i := range f.Desc.Imports().Len() {
		imported := f.Desc.Imports().Get(i)
		if target := plugin.FilesByPath[imported.Path()]; imported.IsPublic && target.GoImportPath != f.GoImportPath {
			s.addFile(target, plugin)
		}
	}
}

func (s scope) addExtensions(extensions []*protogen.Extension) {
	for _, x := range extensions {
		s["E_"+x.GoIdent.GoName] = declaration{"extension", string(x.Desc.FullName())}
	}
}

func (s scope) addEnums(enums []*protogen.Enum) {
	for _, e := range enums {
		d := declaration{"enum", string(e.Desc.FullName())}
		s[e.GoIdent.GoName], s[e.GoIdent.GoName+"_name"], s[e.GoIdent.GoName+"_value"] = d, d, d
		for _, v := range e.Values {
			d := declaration{"enum value", string(v.Desc.FullName())}
			s[v.GoIdent.GoName] = d
			if v.PrefixedAlias.GoName != "" {
				s[v.PrefixedAlias.GoName] = d
			}
		}
	}
}

func (s scope) addMessages(messages []*protogen.Message) {
	for _, m := range messages {
		if m.Desc.IsMapEntry() {
			continue
		}
		name := m.GoIdent.GoName
		d := declaration{"message", string(m.Desc.FullName())}
		s[name] = d
		if m.APILevel != gofeaturespb.GoFeatures_API_OPEN {
			s[name+"_builder"] = d
		}
		for _, f := range m.Fields {
			if f.Desc.HasDefault() {
				s["Default_"+name+"_"+f.GoName] = declaration{"the default of field", string(f.Desc.FullName())}
			}
		}
		s.addOneofs(m)
		s.addExtensions(m.Extensions)
		s.addEnums(m.Enums)
		s.addMessages(m.Messages)
	}
}

// addOneofs adds the interfaces and wrappers of oneofs, as all levels of the API
// have them.
func (s scope) addOneofs(m *protogen.Message) {
	for _, o := range m.Oneofs {
		if o.Desc.IsSynthetic() {
			continue
		}
		d := declaration{"oneof", string(o.Desc.FullName())}
		name := m.GoIdent.GoName + "_" + o.GoName
		s["is"+name], s["case_"+name], s[name+"_not_set_case"] = d, d, d
		for _, f := range o.Fields {
			d := declaration{"oneof field", string(f.Desc.FullName())}
			field := m.GoIdent.GoName + "_" + f.GoName
			for _, wrapper := range []string{f.GoIdent.GoName, field, field + "_"} {
				s[wrapper], s[unexported(wrapper)] = d, d
			}
			s[field+"_case"] = d
		}
	}
}
