package main

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/micro-event/micro-event/runtime/broker"
)

// TestEachCapabilityHasARow sets one capability at a time. Contiguous is between a
// driver and the engine; users do not meet it.
func TestEachCapabilityHasARow(t *testing.T) {
	for field := range reflect.TypeFor[broker.Capabilities]().Fields() {
		if field.Name == "Contiguous" {
			continue
		}
		var c broker.Capabilities
		reflect.ValueOf(&c).Elem().FieldByIndex(field.Index).SetBool(true)
		found := 0
		for _, r := range rows() {
			if r.has(c) && !r.has(broker.Capabilities{}) {
				found++
			}
		}
		if found != 1 {
			t.Errorf("capability %s has %d rows, want 1", field.Name, found)
		}
	}
}

// TestTheContractSaysTheSame compares the table of docs/delivery.md, which says
// more than yes and no, with the drivers.
func TestTheContractSaysTheSame(t *testing.T) {
	cells := capabilityTable(t, filepath.Join("..", "..", "docs", "delivery.md"))
	columns := brokers()
	for field := range reflect.TypeFor[broker.Capabilities]().Fields() {
		if field.Name == "Contiguous" {
			continue
		}
		row := cells[field.Name]
		if len(row) != len(columns) {
			t.Errorf("docs/delivery.md: capability %s has %d cells, want %d", field.Name, len(row), len(columns))
			continue
		}
		for i, c := range columns {
			has := reflect.ValueOf(c.info.Capabilities).FieldByIndex(field.Index).Bool()
			atAccepted := c.title == "HTTP" && strings.HasPrefix(row[i], "at level Accepted") // not the default
			if says := !strings.HasPrefix(row[i], "no"); says != has && !atAccepted {
				t.Errorf("docs/delivery.md: %s of %s is %q, the driver says %v", field.Name, c.title, row[i], has)
			}
		}
	}
}

// capabilityTable returns the cells of the rows that begin with the name of a
// capability.
func capabilityTable(t *testing.T, path string) map[string][]string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	table := make(map[string][]string)
	for line := range strings.Lines(string(text)) {
		name, found := strings.CutPrefix(line, "| `")
		if !found {
			continue
		}
		name, _, _ = strings.Cut(name, "`")
		cells := strings.Split(strings.Trim(line, "| \n"), "|")[1:]
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		table[name] = cells
	}
	return table
}

func TestRewrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "README.md")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("above\n" + beginLine + "old\n" + endLine + "below\n")
	if err := rewrite(path); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if want := "above\n" + beginLine + table(brokers()) + endLine + "below\n"; string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	write("above\n" + beginLine + "no end\n")
	if err := rewrite(path); err == nil || !strings.Contains(err.Error(), endLine[:20]) {
		t.Errorf("without an end: got %v, want an error that names the line", err)
	}
}
