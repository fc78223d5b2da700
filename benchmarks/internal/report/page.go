package report

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/micro-event/micro-event/benchmarks/internal/measure"
)

// Run is all that a page is made of. It is kept beside the page as results.json.
type Run struct {
	Machine Machine          `json:"machine"`
	Results []measure.Result `json:"results"`
	Sizes   []Size           `json:"sizes"`
}

// Size is that of the same program with the bare client and with this repository.
type Size struct {
	Name string `json:"name"`
	Raw  int64  `json:"raw"`
	Ours int64  `json:"ours"`
}

//go:embed intro.md
var intro string

// Write writes performance.md and performance/*.svg into docs.
func (r *Run) Write(docs string) error {
	plots := filepath.Join(docs, "performance")
	if err := os.MkdirAll(plots, 0o755); err != nil {
		return err
	}
	var page strings.Builder
	page.WriteString(intro)
	r.writeMachine(&page)
	page.WriteString("\n## Goals\n\n")
	writeGoals(&page, r.Results)
	for _, group := range r.groups() {
		if err := r.writeGroup(&page, group, plots); err != nil {
			return err
		}
	}
	r.writeSizes(&page)
	data, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return err
	}
	if err := write(filepath.Join(plots, "results.json"), append(data, '\n')); err != nil {
		return err
	}
	return write(filepath.Join(docs, "performance.md"), []byte(strings.TrimSpace(page.String())+"\n"))
}

// write writes a file that all may read, for it is part of a public page.
func write(name string, data []byte) error { return os.WriteFile(name, data, 0o644) }

// Read returns the run that a page was made of.
func Read(docs string) (*Run, error) {
	name := filepath.Join(docs, "performance", "results.json")
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	r := new(Run)
	if err := json.Unmarshal(data, r); err != nil {
		return nil, fmt.Errorf("report: %s: %w", name, err)
	}
	return r, nil
}

func (r *Run) writeMachine(w *strings.Builder) {
	m := r.Machine
	fmt.Fprintf(w, "\nMeasured on %s, %s, %d cores, %s, %s; the run took %.0f minutes.\n\n", m.Date, m.CPU, m.Cores, m.System, m.Go, m.Seconds/60)
	fmt.Fprintf(w, "<details><summary>Versions</summary>\n\n- %s\n\n</details>\n", strings.Join(m.Versions, "\n- "))
}

// groups returns the names of groups in their order.
func (r *Run) groups() []string {
	var all []string
	for _, result := range r.Results {
		if len(all) == 0 || all[len(all)-1] != result.Group {
			all = append(all, result.Group)
		}
	}
	return all
}

// writeGroup writes a section and its plot.
func (r *Run) writeGroup(w *strings.Builder, group, plots string) error {
	var results []measure.Result
	series := false
	for _, result := range r.Results {
		if result.Group == group {
			results = append(results, result)
			series = series || result.Rows[0].At > 0
		}
	}
	fmt.Fprintf(w, "\n## %s\n\n", strings.ToUpper(group[:1])+group[1:])
	if note := notes[group]; note != "" {
		w.WriteString(note + "\n\n")
	}
	draw := drawRatios
	if series {
		draw = drawSeries
	}
	svg, err := draw(group, results)
	if err != nil {
		return fmt.Errorf("report: plot of %s: %w", group, err)
	}
	if svg != nil {
		file := strings.NewReplacer(" ", "-", ":", "", ",", "").Replace(strings.ToLower(group)) + ".svg"
		if err := write(filepath.Join(plots, file), svg); err != nil {
			return err
		}
		fmt.Fprintf(w, "![%s](performance/%s)\n\n", group, file)
	}
	for _, result := range results {
		fmt.Fprintf(w, "### %s: %s\n\n", strings.ToUpper(group[:1])+group[1:], result.Name)
		writeTable(w, result)
	}
	return nil
}

func (r *Run) writeSizes(w *strings.Builder) {
	if len(r.Sizes) == 0 {
		return
	}
	w.WriteString("\n## Size of a program\n\nThe same program, `-ldflags='-s -w'`, with the bare client and with this repository.\n\n")
	w.WriteString("| | bare client | micro-event | |\n|---|--:|--:|--:|\n")
	for _, s := range r.Sizes {
		fmt.Fprintf(w, "| %s | %s | %s | %.2fx |\n", s.Name, size(float64(s.Raw)), size(float64(s.Ours)), float64(s.Ours)/float64(s.Raw))
	}
}

// Tables returns what was measured, without the rest of the page.
func (r *Run) Tables() string {
	var w strings.Builder
	for _, result := range r.Results {
		fmt.Fprintf(&w, "%s, %s:\n\n", result.Group, result.Name)
		writeTable(&w, result)
	}
	return w.String()
}
