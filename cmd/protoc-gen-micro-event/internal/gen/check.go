package gen

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	eventv1 "github.com/micro-event/micro-event/proto/micro/event/v1"
	"github.com/micro-event/micro-event/runtime/broker"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
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
	e.checkName(ps, topicNumber, "topic", e.topic)
	e.checkName(ps, typeNumber, "type", e.wireType)
	for _, alias := range e.options.GetAliases() {
		e.checkName(ps, aliasesNumber, "alias", alias)
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
		ps.add(e.optionPosition(0), e, fmt.Sprintf("the option has fields that this plugin does not know, with the numbers %v", unknown),
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
func (e *event) checkName(ps *problems, field int32, what, name string) {
	err := broker.CheckTopic(name)
	if err == nil {
		return
	}
	reason := strings.TrimPrefix(err.Error(), fmt.Sprintf("%v %q: ", broker.ErrInvalidTopic, name))
	fix := "write segments of letters, digits, _ and -, joined by single dots, at most " + fmt.Sprint(broker.MaxTopicBytes) + " bytes"
	if name == string(e.message.Desc.FullName()) {
		fix = "the default is the full name of the message: set " + what
	}
	ps.add(e.optionPosition(field), e, fmt.Sprintf("%s %q: %s", what, name, reason), fix)
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
	for _, h := range e.options.GetHeaders() {
		e.checkHeader(ps, h)
		name := strings.ToLower(h.GetName())
		if seen[name] {
			ps.add(e.optionPosition(headersNumber), e, fmt.Sprintf("header %q: it is set twice", h.GetName()), "names must differ in more than case: remove one")
		}
		seen[name] = true
	}
}

func (e *event) checkHeader(ps *problems, h *eventv1.HeaderField) {
	if err := checkHeaderName(h.GetName()); err != nil {
		ps.add(e.optionPosition(headersNumber), e, fmt.Sprintf("header %q: %v", h.GetName(), err), headerHint)
	}
	value, wrong, fix := resolvePath(e.message, h.GetField())
	switch {
	case h.GetField() == "":
		ps.add(e.optionPosition(headersNumber), e, fmt.Sprintf("header %q: field is not set", h.GetName()), "set it to the path of a field: "+fieldsHint(e.message))
	case wrong != "":
		ps.add(e.optionPosition(headersNumber), e, fmt.Sprintf("header %q: field %q: %s", h.GetName(), h.GetField(), wrong), fix)
	}
	e.headers = append(e.headers, header{h.GetName(), value})
}

const (
	maxHeaderNameBytes = 255
	headerHint         = "choose a name of lower-case letters, digits and !#$%&'*+-.^_`|~ that is not reserved"
)

var (
	reservedHeaders  = []string{"content-type", "traceparent", "tracestate", "baggage"}
	reservedPrefixes = []string{"ce-", "ce_", "cloudevents", "micro-"}
)

// checkHeaderName checks the name of a header: a token of RFC 9110 without upper
// case, which every transport keeps as it is.
func checkHeaderName(name string) error {
	if name == "" {
		return errors.New("the name is empty")
	}
	if len(name) > maxHeaderNameBytes {
		return fmt.Errorf("the name has %d bytes, more than %d", len(name), maxHeaderNameBytes)
	}
	if i := strings.IndexFunc(name, func(r rune) bool { return !isHeaderRune(r) }); i >= 0 {
		return fmt.Errorf("the name may not contain %q", []rune(name[i:])[0])
	}
	if slices.Contains(reservedHeaders, name) {
		return errors.New("the name is reserved")
	}
	for _, prefix := range reservedPrefixes {
		if strings.HasPrefix(name, prefix) {
			return fmt.Errorf("names that begin with %q are reserved", prefix)
		}
	}
	return nil
}

func isHeaderRune(r rune) bool {
	return 'a' <= r && r <= 'z' || '0' <= r && r <= '9' || strings.ContainsRune("!#$%&'*+-.^_`|~", r)
}
