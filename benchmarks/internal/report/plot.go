package report

import (
	"bytes"
	"fmt"
	"image/color"
	"math"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/micro-event/micro-event/benchmarks/internal/measure"
)

// drawRatios draws the comparisons of a group: a line for each side, a mark for each
// comparison at the ratio to the floor, with its quartiles. It returns nil when there
// is nothing to draw.
func drawRatios(title string, results []measure.Result) ([]byte, error) {
	var names []string
	for _, r := range results {
		for _, row := range r.Rows {
			if row.Ratio.Median > 0 && !slices.Contains(names, row.Side) {
				names = append(names, row.Side)
			}
		}
	}
	if len(names) < 2 {
		return nil, nil
	}
	slices.Reverse(names) // the first on top
	p := plot.New()
	p.Title.Text = title + ": time, as a multiple of the floor's"
	p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, plot.TickerFunc(ticks)
	p.NominalY(names...)
	p.Legend.Top = true
	p.Add(plotter.NewGrid())
	for i, r := range results {
		var marks marked
		for _, row := range r.Rows {
			if row.Ratio.Median == 0 {
				continue
			}
			y := float64(slices.Index(names, row.Side)) + 0.12*(float64(len(results)-1)/2-float64(i))
			marks.XYs = append(marks.XYs, plotter.XY{X: row.Ratio.Median, Y: y})
			marks.XErrors = append(marks.XErrors, struct{ Low, High float64 }{row.Ratio.Median - row.Ratio.Low, row.Ratio.High - row.Ratio.Median})
		}
		if err := marks.add(p, r.Name, i); err != nil {
			return nil, err
		}
	}
	return render(p, vg.Length(110+40*len(names)))
}

// marked are points with their quartiles.
type marked struct {
	plotter.XYs
	plotter.XErrors
}

// add draws them in the i-th colour.
func (m marked) add(p *plot.Plot, name string, i int) error {
	if len(m.XYs) == 0 {
		return nil
	}
	points, err := plotter.NewScatter(m.XYs)
	if err != nil {
		return err
	}
	bars, err := plotter.NewXErrorBars(m)
	if err != nil {
		return err
	}
	points.GlyphStyle = glyph(i)
	bars.Color = points.Color
	p.Add(points, bars)
	p.Legend.Add(name, points)
	return nil
}

// drawSeries draws time per message over what grows, a line for each series.
func drawSeries(title string, results []measure.Result) ([]byte, error) {
	p := plot.New()
	p.Title.Text = title
	p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, plot.TickerFunc(ticks)
	p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, plot.TickerFunc(ticks)
	p.Y.Label.Text = "µs a message"
	p.Legend.Top, p.Legend.Left = true, true
	p.Add(plotter.NewGrid())
	drawn := 0
	for i, r := range results {
		var points plotter.XYs
		for _, row := range r.Rows {
			if row.At > 0 && row.Time.Median > 0 {
				points = append(points, plotter.XY{X: row.At, Y: row.Time.Median / 1e3})
			}
		}
		if len(points) < 2 {
			continue
		}
		line, dots, err := plotter.NewLinePoints(points)
		if err != nil {
			return nil, err
		}
		dots.GlyphStyle = glyph(i)
		line.Color = dots.Color
		p.Add(line, dots)
		p.Legend.Add(r.Name, line, dots)
		drawn++
	}
	if drawn == 0 {
		return nil, nil
	}
	return render(p, 300)
}

// glyph is the mark of the i-th of several things.
func glyph(i int) (g draw.GlyphStyle) {
	g.Color, g.Shape, g.Radius = plotutil.Color(i), plotutil.Shape(i), vg.Points(3)
	return g
}

// ticks labels 1, 2 and 5 of each power of ten.
func ticks(low, high float64) []plot.Tick {
	var all []plot.Tick
	for power := math.Floor(math.Log10(low)); power <= math.Ceil(math.Log10(high)); power++ {
		for _, digit := range []float64{1, 2, 5} {
			if value := digit * math.Pow(10, power); value >= low && value <= high {
				all = append(all, plot.Tick{Value: value, Label: fmt.Sprintf("%.4g", value)})
			}
		}
	}
	return all
}

func render(p *plot.Plot, height vg.Length) ([]byte, error) {
	p.BackgroundColor = color.White
	const width = 640
	svg, err := p.WriterTo(width, height, "svg")
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	_, err = svg.WriteTo(&out)
	return out.Bytes(), err
}
