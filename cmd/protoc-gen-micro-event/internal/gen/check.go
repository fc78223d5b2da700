package gen

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	eventv1 "github.com/micro-event/micro-event/proto/micro/event/v1"
	"github.com/micro-event/micro-event/runtime/broker"
)

// The option's number and names, which the schema decides.
var (
	optionNumber = int32(eventv1.E_Event.TypeDescriptor().Number())
	optionName   = eventv1.E_Event.TypeDescriptor().FullName()
	extendeeName = eventv1.E_Event.TypeDescriptor().ContainingMessage().FullName()
)

// check checks what one event says of itself, and resolves its paths.
func (e *event) check(ps *problems) {
	e.checkSchema(ps)
	e.checkName(ps, e.optionPosition(topicNumber), "topic", e.topic)
	e.checkName(ps, e.optionPosition(typeNumber), "type", e.wireType)
	for i, alias := range e.options.GetAliases() {
		e.checkName(ps, e.optionPosition(aliasesNumber, int32(i)), "alias", alias)
	}
	e.checkKey(ps)
	e.checkHeaders(ps)
}

// checkSchema finds fields of the option that this plugin does not know.
func (e *event) checkSchema(ps *problems) {
	unknown := unknownFields(e.options)
	for _, h := range e.options.GetHeaders() {
		unknown = append(unknown, unknownFields(h)...)
	}
	if len(unknown) > 0 {
		ps.add(e.optionPosition(), e, fmt.Sprintf("the option has fields that this plugin does not know, with the numbers %v", unknown),
			"the option schema is newer than the plugin: update protoc-gen-micro-event")
	}
}

func unknownFields(m proto.Message) []protowire.Number {
	var numbers []protowire.Number
	for b := m.ProtoReflect().GetUnknown(); len(b) > 0; {
		number, _, n := protowire.ConsumeField(b)
		if n < 0 {
			break // not reached: b was parsed before
		}
		numbers, b = append(numbers, number), b[n:]
	}
	return numbers
}

// checkName checks a name that follows the grammar of topics.
func (e *event) checkName(ps *problems, at position, what, name string) {
	err := broker.CheckTopic(name)
	if err == nil {
		return
	}
	reason := strings.TrimPrefix(err.Error(), fmt.Sprintf("%v %q: ", broker.ErrInvalidTopic, name))
	fix := "write segments of letters, digits, _ and -, joined by single dots, at most " + fmt.Sprint(broker.MaxTopicBytes) + " bytes"
	if name == string(e.message.Desc.FullName()) {
		fix = "the default is the full name of the message: set " + what
	}
	ps.add(at, e, fmt.Sprintf("%s %q: %s", what, name, reason), fix)
}

func (e *event) checkKey(ps *problems) {
	path := e.options.GetKey()
	if path == "" {
		return
	}
	key, wrong, fix := resolvePath(e.message, path)
	if wrong != "" {
		ps.add(e.optionPosition(keyNumber), e, fmt.Sprintf("key %q: %s", path, wrong), fix)
	}
	e.key = key
}

func (e *event) checkHeaders(ps *problems) {
	seen := make(map[string]bool)
	for i, h := range e.options.GetHeaders() {
		at := e.optionPosition(headersNumber, int32(i))
		name := strings.ToLower(h.GetName())
		if seen[name] {
			ps.add(at, e, fmt.Sprintf("header %q: it is set twice", h.GetName()), "remove one: names must differ in more than case")
		}
		seen[name] = true
		e.checkHeader(ps, at, h)
	}
}

func (e *event) checkHeader(ps *problems, at position, h *eventv1.HeaderField) {
	if wrong, fix := headerNameFault(h.GetName()); wrong != "" {
		ps.add(at, e, fmt.Sprintf("header %q: %s", h.GetName(), wrong), fix)
	}
	if h.GetField() == "" {
		ps.add(at, e, fmt.Sprintf("header %q: no field is set", h.GetName()), "set field to the path of one: "+fieldsHint(e.message))
		return
	}
	value, wrong, fix := resolvePath(e.message, h.GetField())
	if wrong != "" {
		ps.add(at, e, fmt.Sprintf("header %q: field %q: %s", h.GetName(), h.GetField(), wrong), fix)
	}
	e.headers = append(e.headers, header{h.GetName(), value})
}
