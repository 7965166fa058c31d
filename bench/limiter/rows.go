// SPDX-License-Identifier: Apache-2.0

package limiter

import (
	"time"

	"github.com/hotspot-agent/hotspot-agent/bench/report"
)

// name is the study's in the report.
const name = "limiter"

// The names of the figures.
const (
	goodput       = "goodput"
	ceiling       = "goodput, not above"
	meanGoodput   = "goodput, mean of cells"
	firstSeconds  = "first 10 s"
	fairness      = "Jain's index"
	retransmitted = "retransmitted"
	echoLoss      = "echo loss"
	echoDelay     = "echo delay added"
	lineLate      = "delay line late"
	runsOfCell    = "runs of a cell"
)

// rows are the figures of a result. The goals are the fair limiter's. The bounds are wide: only a limiter that is broken crosses them.
func rows(by subject, c cell, r result) []report.Row {
	w := c.window()
	row := func(metric string, value float64, unit string, goal, bound *report.Limit) report.Row {
		if by.name != "fair" {
			goal = nil
		}
		return report.Row{Study: name, Cell: c.String(), At: w, Subject: by.name, Metric: metric, Value: value, Unit: unit, Goal: goal, Bound: bound}
	}
	least, most := report.AtLeast(0.95), (*report.Limit)(nil)
	if w >= 2 && c.lasts <= usual {
		least, most = report.AtLeast(0.97), report.AtMost(1.03)
	}
	var bounds struct{ goodput, jain, echo *report.Limit }
	switch by.name {
	case "fair":
		bounds.goodput, bounds.jain, bounds.echo = report.AtLeast(0.85), report.AtLeast(0.95), report.AtMost(5)
	case "bucket":
		bounds.goodput = report.AtLeast(0.6) // its single flows scatter: one loss in slow start at 60 ms costs seconds
	}
	all := []report.Row{
		row(goodput, r.goodput, "", least, bounds.goodput),
		row(retransmitted, r.retransmitted*100, "%", resendGoal(c), nil),
		row(echoLoss, r.echoLost*100, "%", report.AtMost(0.5), bounds.echo),
		row(echoDelay, float64(r.echoAdded)/float64(time.Millisecond), "ms", report.AtMost(1), nil),
		row(lineLate, float64(r.line.Late)/float64(time.Millisecond), "ms", nil, nil),
		row(runsOfCell, float64(r.runs), "", nil, nil),
	}
	if c.lasts >= usual {
		all = append(all, row(firstSeconds, r.start, "", report.AtMost(1.05), nil))
	}
	if most != nil {
		all = append(all, row(ceiling, r.goodput, "", most, nil))
	}
	if len(c.flows) > 1 {
		all = append(all, row(fairness, r.jain, "", report.AtLeast(0.99), bounds.jain))
	}
	return all
}

// resendGoal is what a limiter without a queue cannot do much better than, in
// percent of the bytes sent.
func resendGoal(c cell) *report.Limit {
	switch w := c.window(); {
	case c.all("cubic") && w >= 3:
		return report.AtMost(35/w + 0.5)
	case c.all("bbr") && w >= 2:
		return report.AtMost(12)
	default:
		return nil
	}
}

// missed names the figures that are beyond their goal.
func missed(rows []report.Row) (metrics []string) {
	for _, row := range rows {
		if !row.Goal.Met(row.Value) {
			metrics = append(metrics, row.Metric)
		}
	}
	return metrics
}

// summary adds the rows that are about several cells: the means, the ratios of what one
// subject did to what the shaper did in the same cell, and how many cells were measured
// again.
func (s *study) summary() {
	cells := s.out.Rows()
	shaped := make(map[string]float64)
	for _, row := range cells {
		if row.Metric == goodput && row.Subject == htbSubject.name {
			shaped[row.Cell] = row.Value
		}
	}
	for _, row := range cells {
		if reference := shaped[row.Cell]; row.Metric == goodput && row.Subject != htbSubject.name && reference > 0 {
			s.out.Add(versusShaper(row, reference))
		}
	}
	for _, by := range s.subjects {
		s.means(by, cells)
	}
}

func versusShaper(row report.Row, reference float64) report.Row {
	row.Value, row.Versus, row.Goal, row.Bound = row.Value/reference, htbSubject.name, nil, nil
	if row.Subject == "fair" {
		row.Bound = report.AtLeast(0.9)
	}
	return row
}

func (s *study) means(by subject, cells []report.Row) {
	var shares []float64
	again := 0
	for _, row := range cells {
		switch {
		case row.Subject != by.name:
		case row.Metric == goodput:
			shares = append(shares, row.Value)
		case row.Metric == runsOfCell && row.Value > 1:
			again++
		}
	}
	if len(shares) == 0 {
		return
	}
	row := report.Row{Study: name, Subject: by.name, Metric: meanGoodput, Value: mean(shares)}
	if by.name == "fair" {
		row.Goal = report.AtLeast(0.99)
		s.out.Add(report.Row{Study: name, Subject: by.name, Metric: "cells measured thrice", Value: float64(again)})
	}
	s.out.Add(row)
}
