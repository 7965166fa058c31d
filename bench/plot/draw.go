// SPDX-License-Identifier: Apache-2.0

package plot

import (
	"cmp"
	"image/color"
	"math"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/hotspot-agent/hotspot-agent/bench/report"
)

var goalColor = color.Gray{Y: 0x80}

// beside is how far right of one subject's marks the next one's are.
const beside = 1.07

// subjects are those of the rows, by the alphabet, so that each has its colour in
// every picture of a study.
func subjects(rows []report.Row) (all []string) {
	for _, r := range rows {
		if !slices.Contains(all, r.Subject) {
			all = append(all, r.Subject)
		}
	}
	slices.Sort(all)
	return all
}

// points draws a mark for each row, and a grey dash for its goal.
func (f figure) points(p *plot.Plot, rows []report.Row) error {
	p.Add(plotter.NewGrid())
	defer logarithmic(&p.X)
	var goals plotter.XYs
	for i, subject := range subjects(rows) {
		var marks plotter.XYs
		for _, r := range rows {
			if r.Subject != subject {
				continue
			}
			marks = append(marks, plotter.XY{X: r.At * math.Pow(beside, float64(i)), Y: f.shown(r.Value)})
			if r.Goal != nil {
				goals = append(goals, plotter.XY{X: r.At, Y: f.shown(r.Goal.Value)})
			}
		}
		s, err := plotter.NewScatter(marks)
		if err != nil {
			return err
		}
		s.GlyphStyle = draw.GlyphStyle{Color: plotutil.Color(i), Radius: vg.Points(2.5), Shape: plotutil.Shape(i)}
		p.Add(s)
		p.Legend.Add(subject, s)
	}
	if len(goals) == 0 {
		return nil
	}
	s, err := plotter.NewScatter(goals)
	if err != nil {
		return err
	}
	s.GlyphStyle = draw.GlyphStyle{Color: goalColor, Radius: vg.Points(3), Shape: dash{}}
	p.Add(s)
	p.Legend.Add("goal", s)
	return nil
}

// dash is a mark that is a level line.
type dash struct{}

func (dash) DrawGlyph(c *draw.Canvas, style draw.GlyphStyle, at vg.Point) {
	c.SetLineStyle(draw.LineStyle{Color: style.Color, Width: vg.Points(1)})
	var line vg.Path
	line.Move(vg.Point{X: at.X - style.Radius, Y: at.Y})
	line.Line(vg.Point{X: at.X + style.Radius, Y: at.Y})
	c.Stroke(line)
}

// bars draws a group of level bars for each cell, one for each subject.
func (f figure) bars(p *plot.Plot, rows []report.Row) error {
	slices.SortStableFunc(rows, func(a, b report.Row) int { return cmp.Compare(b.At, a.At) }) // the first on top
	var cells []string
	for _, r := range rows {
		if !slices.Contains(cells, r.Cell) {
			cells = append(cells, r.Cell)
		}
	}
	all := subjects(rows)
	const drawn, groups = 0.8, 0.8 // the part of the picture that is the plot, and of that, bars
	thick := f.height(rows) * drawn * groups / vg.Length(len(cells)*len(all))
	for i, subject := range all {
		values := make(plotter.Values, len(cells))
		for _, r := range rows {
			if r.Subject == subject {
				values[slices.Index(cells, r.Cell)] = r.Value
			}
		}
		b, err := plotter.NewBarChart(values, thick)
		if err != nil {
			return err
		}
		b.Horizontal, b.Color, b.LineStyle.Width = true, plotutil.Color(i), 0
		b.Offset = thick * (vg.Length(len(all)-1)/2 - vg.Length(i))
		p.Add(b)
		p.Legend.Add(subject, b)
	}
	p.NominalY(cells...)
	p.Y.Label.Text = " " // room beside the names
	return nil
}

// height of a picture: a lot of bars need room.
func (f figure) height(rows []report.Row) vg.Length {
	const row = 4 * vg.Millimeter
	if f.x != "" {
		return height
	}
	return max(height, vg.Length(len(rows))*row)
}
