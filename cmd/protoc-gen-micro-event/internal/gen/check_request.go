package gen

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/compiler/protogen"
)

// checkRequest checks what events of different files must agree on. Events of
// files that are only imported count, but a problem is reported where it can be
// fixed: in the files to generate.
func checkRequest(ps *problems, plugin *protogen.Plugin, sources []*source) {
	checkNumber(ps, plugin, sources)
	checkWireTypes(ps, sources)
	checkTopics(ps, sources)
	checkIdentifiers(ps, plugin, sources)
}

// report reports a problem of e that another event has a part in.
func report(ps *problems, at position, e *event, wrong, fix string) {
	if e.file.Generate {
		ps.add(at, e, wrong, fix)
	}
}

// checkNumber finds another extension with the number of the option: its values
// look like the option, and no Go program can hold both.
func checkNumber(ps *problems, plugin *protogen.Plugin, sources []*source) {
	other := foreignExtension(plugin)
	if other == "" {
		return
	}
	for _, s := range sources {
		for _, e := range s.events {
			report(ps, e.optionPosition(), e, fmt.Sprintf("the number %d of the option belongs to extension %s too", optionNumber, other),
				"give that extension another number")
		}
	}
}

// foreignExtension returns the name of an extension of messages that has the
// number of the option but is not it, or nothing.
func foreignExtension(plugin *protogen.Plugin) string {
	for _, f := range plugin.Files {
		if name := findForeign(f.Extensions, f.Messages); name != "" {
			return name
		}
	}
	return ""
}

func findForeign(extensions []*protogen.Extension, messages []*protogen.Message) string {
	for _, x := range extensions {
		if int32(x.Desc.Number()) == optionNumber && x.Extendee.Desc.FullName() == extendeeName && x.Desc.FullName() != optionName {
			return string(x.Desc.FullName())
		}
	}
	for _, m := range messages {
		if name := findForeign(m.Extensions, m.Messages); name != "" {
			return name
		}
	}
	return ""
}

// wireTypes holds the owner of each type and alias.
type wireTypes map[string]wireType

type wireType struct {
	owner *event
	at    position
}

// checkWireTypes finds types and aliases that stand twice: a receiver could not
// tell whose event it got.
func checkWireTypes(ps *problems, sources []*source) {
	types := make(wireTypes)
	for _, s := range sources {
		for _, e := range s.events {
			types.claim(ps, e, e.optionPosition(typeNumber), "type", e.wireType)
			for i, alias := range e.options.GetAliases() {
				types.claim(ps, e, e.optionPosition(aliasesNumber, int32(i)), "alias", alias)
			}
		}
	}
}

func (w wireTypes) claim(ps *problems, e *event, at position, what, name string) {
	other, taken := w[name]
	switch {
	case !taken:
		w[name] = wireType{e, at}
	case other.owner == e:
		report(ps, at, e, fmt.Sprintf("%s %q stands twice", what, name), "remove one")
	default:
		report(ps, at, e, fmt.Sprintf("%s %q is a type or an alias of %s at %s too", what, name, other.owner.message.Desc.FullName(), other.at),
			"a wire name belongs to one message: change one")
	}
}

// checkTopics finds topics that some brokers cannot tell apart.
func checkTopics(ps *problems, sources []*source) {
	first := make(map[string]*event)
	for _, s := range sources {
		for _, e := range s.events {
			folded := strings.ReplaceAll(strings.ToLower(e.topic), ".", "_")
			other, taken := first[folded]
			switch {
			case !taken:
				first[folded] = e
			case other.topic != e.topic:
				report(ps, e.optionPosition(topicNumber), e,
					fmt.Sprintf("topic %q differs from %q of %s at %s only in case or in . and _", e.topic, other.topic, other.message.Desc.FullName(), other.optionPosition(topicNumber)),
					"some brokers cannot tell them apart: use one of them for both, or another name")
			}
		}
	}
}

// checkIdentifiers finds names of events that their Go package has already.
func checkIdentifiers(ps *problems, plugin *protogen.Plugin, sources []*source) {
	scopes := make(map[protogen.GoImportPath]scope)
	for _, s := range sources {
		scopes[s.output.importPath] = make(scope)
	}
	for _, f := range plugin.Files {
		if s, ok := scopes[f.GoImportPath]; ok {
			s.addFile(f, plugin)
		}
	}
	for _, s := range sources {
		for _, e := range s.events {
			e.claimIdentifiers(ps, scopes[s.output.importPath])
		}
	}
}

func (e *event) claimIdentifiers(ps *problems, s scope) {
	for _, name := range e.names.all() {
		if d, taken := s[name]; taken {
			report(ps, e.position(), e, fmt.Sprintf("Go identifier %s is declared by %s too", name, d), e.identifierHint())
			continue
		}
		s[name] = declaration{"event", string(e.message.Desc.FullName())}
	}
}

func (e *event) identifierHint() string {
	if e.file.output.qualifier != "" {
		return "rename one of them"
	}
	return "rename one of them, or generate into a package of its own with the parameter package_suffix"
}
