package report

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/micro-event/micro-event/benchmarks/internal/measure"
)

func same(x float64) measure.Quartiles {
	return measure.Quartiles{Low: x * 0.9, Median: x, High: x * 1.1}
}

func sampleRun() *Run {
	side := func(name string, times float64) measure.Row {
		return measure.Row{Side: name, Time: same(1e5 * times), Ratio: same(times), CPU: 9e4, CPURatio: same(times), Allocs: 20.01, Bytes: 1234, P50: 5e4, P99: 2e6}
	}
	lost := measure.Row{Side: "peer", Void: "delivered 7 of 10 | and\nmore", Note: "returns at once"}
	point := func(at float64) measure.Row {
		return measure.Row{Side: "n", At: at, Time: same(at * 1e3), Ratio: same(at), Goroutines: at, Heap: at * 3 * (1 << 20)}
	}
	return &Run{
		Machine: Machine{CPU: "a processor", Cores: 2, Versions: []string{"peer v1.2.3"}, Seconds: 90},
		Results: []measure.Result{
			{Group: "in process", Name: "publish to handler", Rows: []measure.Row{side("floor", 1), side(typed, 1.154)}},
			{Group: "HTTP", Name: "8 callers", Rows: []measure.Row{side("floor", 1), side(typed, 0.5), lost}},
			{Group: "HTTP", Name: "64 callers", Rows: []measure.Row{side("floor", 1), side(typed, 0.15)}},
			{Group: "HTTP", Name: "1 caller", Rows: []measure.Row{side("floor", 1), {Side: typed, Void: "delivered 7 of 10"}}},
			{Group: "generator", Name: "44000 messages", Children: true, Rows: []measure.Row{side("floor", 1), side("protoc-gen-micro-event", 0.2)}},
			{Group: "growth", Name: "topics", Rows: []measure.Row{point(1), point(10), point(1000)}},
		},
		Sizes: []Size{{"nats", 1 << 20, 3 << 19}},
	}
}

func TestVerdicts(t *testing.T) {
	r := sampleRun()
	got := map[string]string{}
	for i := range goals {
		measured, verdict := goals[i].verdict(r.Results)
		got[goals[i].what] = strings.TrimSpace(measured + " " + verdict)
	}
	for what, want := range map[string]string{
		"in process, publish to handler: time":                   "1.15 (1.04–1.27) met",
		"in process, publish to handler: allocations":            "20.0 met",
		"HTTP, 1 caller: speed of the typed API, nothing lost":   "void: delivered 7 of 10",
		"HTTP, 8 callers: speed of the typed API, nothing lost":  "2.00 (1.82–2.22) **missed**",
		"HTTP, 64 callers: speed of the typed API, nothing lost": "6.67 (6.06–7.41) met",
		"Kafka, in one go: time":                                 "not measured",
		"generator, 44,000 events: CPU":                          "0.20 (0.18–0.22) met",
	} {
		if got[what] != want {
			t.Errorf("%s: got %q, want %q", what, got[what], want)
		}
	}
}

func TestPage(t *testing.T) {
	docs := t.TempDir()
	if err := sampleRun().Write(docs); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(docs, "performance.md"))
	if err != nil {
		t.Fatal(err)
	}
	page := string(data)
	for _, want := range []string{
		"a processor, 2 cores", "- peer v1.2.3",
		"| HTTP, 8 callers: speed of the typed API, nothing lost | at least 2.2x | 2.00 (1.82–2.22) | **missed** |",
		"- HTTP, 8 callers: speed of the typed API, nothing lost: " + whyTyped,
		"| micro-event | 50 µs | 0.50 (0.45–0.55) | 90 µs | 20.0 | 1234 | 50 µs | 2 ms |",
		"| peer (1) | void: delivered 7 of 10 / and more | | | | | | |",
		"(1) returns at once.", "![HTTP](performance/http.svg)", "![growth](performance/growth.svg)",
		"| n | 1 ms | 1000 (900–1100) |  | 1000 | 2.93 GiB |",
		"| nats | 1 MiB | 1.5 MiB | 1.50x |",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q:\n%s", want, page)
		}
	}
	for _, name := range []string{"in-process.svg", "http.svg", "generator.svg", "growth.svg"} {
		checkXML(t, filepath.Join(docs, "performance", name))
	}
}

func checkXML(t *testing.T, name string) {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Error(err)
		return
	}
	defer f.Close() //nolint:errcheck // only read
	for d := xml.NewDecoder(f); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Errorf("%s: %v", name, err)
			return
		}
	}
}

// TestPageFromResults: the results beside a page make the same page again.
func TestPageFromResults(t *testing.T) {
	docs, again := t.TempDir(), t.TempDir()
	if err := sampleRun().Write(docs); err != nil {
		t.Fatal(err)
	}
	r, err := Read(docs)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Write(again); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"performance.md", "performance/results.json", "performance/http.svg"} {
		one, err1 := os.ReadFile(filepath.Join(docs, name))
		two, err2 := os.ReadFile(filepath.Join(again, name))
		if err := errors.Join(err1, err2); err != nil || !bytes.Equal(one, two) {
			t.Errorf("%s differs: %v", name, err)
		}
	}
}

// TestCommittedPage: docs/performance.md is what its results make, and says nothing of
// its own.
func TestCommittedPage(t *testing.T) {
	const docs = "../../../docs"
	r, err := Read(docs)
	if err != nil {
		t.Fatal(err)
	}
	again := t.TempDir()
	if err := r.Write(again); err != nil {
		t.Fatal(err)
	}
	one, err1 := os.ReadFile(filepath.Join(docs, "performance.md"))
	two, err2 := os.ReadFile(filepath.Join(again, "performance.md"))
	if err := errors.Join(err1, err2); err != nil || !bytes.Equal(one, two) {
		t.Errorf("the page is not that of its results (%v): run `go run . -render` in benchmarks/", err)
	}
}
