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
	var out strings.Builder
	for line := range strings.Lines(canonicalComment(cleanComment(text))) {
		line = strings.TrimSuffix(line, "\n")
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

// canonicalComment formats text as gofmt does, until gofmt would not change it
// again: what it makes of some texts, such as an empty item of a list, it reads
// as something else the next time.
func canonicalComment(text string) string {
	const mostRounds = 32
	for range mostRounds {
		formatted := formatOnce(text)
		if formatted == text {
			break
		}
		text = formatted
	}
	return text
}

func formatOnce(text string) string {
	var (
		parser  comment.Parser
		printer comment.Printer
		out     strings.Builder
	)
	for line := range strings.Lines(string(printer.Comment(parser.Parse(text)))) {
		out.WriteString(strings.TrimRightFunc(line, unicode.IsSpace) + "\n")
	}
	return out.String()
}

// cleanComment removes what Go source cannot hold, and quotes build constraints,
// which gofmt would otherwise move to the top of the file.
func cleanComment(text string) string {
	var out strings.Builder
	for line := range strings.Lines(strings.ToValidUTF8(text, string(unicode.ReplacementChar))) {
		line = strings.TrimRightFunc(strings.Map(sourceRune, line), unicode.IsSpace)
		line = longQuotes(strings.TrimPrefix(line, " "))
		if constraint.IsPlusBuild("//" + line) {
			line = `"` + strings.TrimSpace(line) + `"`
		}
		out.WriteString(line + "\n")
	}
	return out.String()
}

// longQuotes replaces all pairs of single quotes in a line with three in a row,
// of which gofmt replaces one or two each time it is run.
func longQuotes(line string) string {
	if !strings.Contains(line, "```") && !strings.Contains(line, "'''") {
		return line
	}
	return strings.NewReplacer("``", "\u201c", "''", "\u201d").Replace(line)
}

// sourceRune drops control characters and the byte order mark.
func sourceRune(r rune) rune {
	if r != '\t' && unicode.IsControl(r) || r == '\uFEFF' {
		return -1
	}
	return r
}
