package gen

import (
	"go/build/constraint"
	"go/doc/comment"
	"strings"
	"unicode"
)

// formatComment returns text, the lines of a doc comment without markers, as
// gofmt leaves it. A text of the schema can do no harm: it becomes no directive
// and no build constraint, and what Go source cannot hold is left out.
func formatComment(text string) string {
	var (
		parser  comment.Parser
		printer comment.Printer
		out     strings.Builder
	)
	formatted := string(printer.Comment(parser.Parse(cleanComment(text))))
	for line := range strings.Lines(formatted) {
		line = strings.TrimRightFunc(line, unicode.IsSpace)
		switch {
		case line == "":
			out.WriteString("//")
		case line[0] == '\t':
			out.WriteString("//" + line)
		default:
			out.WriteString("// " + line)
		}
		out.WriteByte('\n')
	}
	return out.String()
}

// cleanComment removes what Go source cannot hold, and quotes build constraints,
// which gofmt would otherwise move to the top of the file.
func cleanComment(text string) string {
	var out strings.Builder
	for line := range strings.Lines(strings.ToValidUTF8(text, string(unicode.ReplacementChar))) {
		line = strings.TrimRightFunc(strings.Map(sourceRune, line), unicode.IsSpace)
		line = strings.TrimPrefix(line, " ")
		if constraint.IsPlusBuild("//" + line) {
			line = `"` + strings.TrimSpace(line) + `"`
		}
		out.WriteString(line + "\n")
	}
	return out.String()
}

// sourceRune drops control characters and the byte order mark.
func sourceRune(r rune) rune {
	if r != '\t' && unicode.IsControl(r) || r == '\uFEFF' {
		return -1
	}
	return r
}
