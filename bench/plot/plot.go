// SPDX-License-Identifier: Apache-2.0

// Package plot draws what a benchmark measured.
package plot

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"

	"github.com/hotspot-agent/hotspot-agent/bench/report"
)

// figure is a picture of one metric: what each subject did.
type figure struct {
	file   string // without its ending
	title  string
	study  string
	metric string
	cells  *regexp.Regexp // only those; nil is all
	// x is the label of the axis that Row.At is on, a logarithmic one. Where it is "",
	// there is a group of bars for each cell instead.
	x string
	y string
	// log has a logarithmic axis from this value on, on which smaller values stand;
	// 0 is a linear axis. Bars have that always.
	log float64
}

// shown is where a value stands.
func (f figure) shown(v float64) float64 {
	if f.log > 0 {
		return max(v, f.log)
	}
	return v
}

const (
	width  = 16 * vg.Centimeter
	height = 9 * vg.Centimeter
)

// Write draws the figures that there are rows for into a folder, as SVG files.
func Write(rows []report.Row, dir string) error {
	for _, f := range figures {
		mine := f.of(rows)
		if len(mine) == 0 {
			continue
		}
		if err := f.write(mine, filepath.Join(dir, f.file+".svg")); err != nil {
			return fmt.Errorf("plot %s: %w", f.file, err)
		}
	}
	return nil
}

// of is the rows that belong to the figure. Ratios to another subject do not, nor
// those without a place on its axis.
func (f figure) of(rows []report.Row) (mine []report.Row) {
	for _, r := range rows {
		placed := f.x == "" || r.At > 0
		if r.Study == f.study && r.Metric == f.metric && r.Versus == "" && placed && (f.cells == nil || f.cells.MatchString(r.Cell)) {
			mine = append(mine, r)
		}
	}
	return mine
}

// logarithmic makes an axis so, with room for one value at least.
func logarithmic(a *plot.Axis) {
	const room = 1.2
	a.Scale, a.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
	a.Min, a.Max = a.Min/room, a.Max*room
}

func (f figure) write(rows []report.Row, path string) (err error) {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = f.title, f.x, f.y
	p.Title.Padding, p.Legend.Top = vg.Millimeter, true
	p.Legend.Padding = vg.Millimeter / 2
	draw := f.points
	if f.x == "" {
		draw, p.X.Label.Text = f.bars, f.y
	}
	if err := draw(p, rows); err != nil {
		return err
	}
	if f.log > 0 {
		logarithmic(&p.Y)
	}
	picture, err := p.WriterTo(width, f.height(rows), "svg")
	if err != nil {
		return err
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	if _, err := picture.WriteTo(file); err != nil {
		_ = file.Close()
		return err
	}
	return file.Close()
}
