package gen

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
)

// writer collects Go source that is formatted as gofmt formats it.
type writer struct {
	bytes.Buffer
}

// P writes a line.
func (w *writer) P(parts ...string) {
	for _, part := range parts {
		w.WriteString(part)
	}
	w.WriteByte('\n')
}

// element is a field of a composite literal. A value of several lines is
// indented for its place in a literal at top level.
type element struct {
	field, value string
}

func (e element) multiline() bool { return strings.Contains(e.value, "\n") }

// elements writes the fields of a composite literal. Values are aligned within
// each run of fields that take one line.
func (w *writer) elements(fields []element) {
	for len(fields) > 0 {
		run := slices.IndexFunc(fields, element.multiline)
		if run < 0 {
			run = len(fields)
		}
		w.aligned(fields[:run])
		if run < len(fields) {
			w.P("\t", fields[run].field, ": ", fields[run].value, ",")
			run++
		}
		fields = fields[run:]
	}
}

func (w *writer) aligned(fields []element) {
	width := 0
	for _, f := range fields {
		width = max(width, len(f.field))
	}
	for _, f := range fields {
		w.P("\t", f.field, ":", strings.Repeat(" ", width-len(f.field)+1), f.value, ",")
	}
}

// funcLiteral returns a function as the value of an [element]: on one line when
// gofmt would leave it there, which is up to 100 bytes.
func funcLiteral(signature string, body ...string) string {
	const longest = 100
	if len(body) == 1 && len(signature)+len(body[0]) <= longest {
		return signature + " { " + body[0] + " }"
	}
	return signature + " {\n\t\t" + strings.Join(body, "\n\t\t") + "\n\t}"
}

// stringSlice returns a literal of strings.
func stringSlice(values []string) string {
	var quoted []string
	for _, v := range values {
		quoted = append(quoted, strconv.Quote(v))
	}
	return "[]string{" + strings.Join(quoted, ", ") + "}"
}
