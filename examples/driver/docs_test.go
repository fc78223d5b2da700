package spoolbroker_test

import (
	"os"
	"strings"
	"testing"
)

// TestDocsShowThisCode compares the code blocks of docs/writing-a-broker.md with
// the source.
func TestDocsShowThisCode(t *testing.T) {
	doc := read(t, "../../docs/writing-a-broker.md")
	source := read(t, "spool.go") + read(t, "source.go") + read(t, "spool_test.go")
	blocks := strings.Split(doc, "```go\n")[1:]
	if len(blocks) < 5 {
		t.Fatalf("found %d code blocks, want at least 5", len(blocks))
	}
	for _, block := range blocks {
		code, _, ok := strings.Cut(block, "```")
		if !ok || !strings.Contains(source, code) {
			t.Errorf("not in the source of the example:\n%s", code)
		}
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
