package brokertest

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "rewrite the tables in testdata")

func defects() []defect {
	return slices.Concat(publishDefects(), roomDefects(), recordDefects(), messageDefects(), queueDefects(), settleDefects(), connectionDefects(),
		publishBrokerDefects(), subscribeBrokerDefects(), handlerBrokerDefects(), poisonBrokerDefects(), stopBrokerDefects())
}

// TestDefectsAreCaught gives each test of the contract a broker with a fault
// that it must find.
func TestDefectsAreCaught(t *testing.T) {
	tests := make(map[string]test)
	for _, c := range contract() {
		tests[c.name] = c
	}
	for _, d := range defects() {
		t.Run(strings.ReplaceAll(d.name, " ", "_"), func(t *testing.T) {
			c, ok := tests[d.caught]
			if !ok {
				t.Fatalf("there is no test %s", d.caught)
			}
			p := runBroken(t, d, c)
			switch {
			case p.skipped:
				t.Errorf("%s was skipped: %s", c.name, p.text())
			case !p.Failed():
				t.Errorf("%s did not find that the broker %s", c.name, d.name)
			}
			t.Log(p.text())
		})
	}
}

// impatience is the deadline of tests that are expected to fail.
const impatience = 300 * time.Millisecond

// runBroken runs one test against one defect.
func runBroken(t *testing.T, d defect, c test) *probe {
	t.Helper()
	l, newBroker := newLab(d.change)
	if l.features.Deadline == 0 {
		l.features.Deadline = impatience
	}
	if l.features.Messages == 0 {
		l.features.Messages = 1000
	}
	s := newSuite(t, newBroker, l.features)
	return try(c.name, func(tb testing.TB) { s.run(tb, c) })
}

// TestEveryTestCanFail makes sure that each test has a defect, and each line a
// test.
func TestEveryTestCanFail(t *testing.T) {
	found := make(map[string]bool)
	for _, d := range defects() {
		found[d.caught] = true
	}
	lines := make(map[string]bool)
	for _, c := range contract() {
		lines[line(c.name)] = true
		if !found[c.name] {
			t.Errorf("no defect shows that %s can fail", c.name)
		}
	}
	for _, l := range contractLines() {
		if !lines[l] {
			t.Errorf("no test is about line %s", l)
		}
	}
}

func contractLines() []string {
	var all []string
	for _, part := range []struct {
		letter string
		n      int
	}{{"P", 6}, {"S", 5}, {"H", 5}, {"U", 4}, {"M", 2}} {
		for i := range part.n {
			all = append(all, fmt.Sprint(part.letter, i+1))
		}
	}
	return all
}

// TestTables compares the tables of tests and defects with those that are kept.
func TestTables(t *testing.T) {
	var lines, faults strings.Builder
	for _, l := range contractLines() {
		for _, c := range contract() {
			if line(c.name) == l {
				fmt.Fprintf(&lines, "%-3s %s\n", l, c.name)
			}
		}
	}
	for _, d := range defects() {
		fmt.Fprintf(&faults, "%-55s %s\n", d.name, d.caught)
	}
	golden(t, "testdata/contract.txt", lines.String())
	golden(t, "testdata/defects.txt", faults.String())
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s is out of date: run go test -run TestTables -update", path)
	}
}
