// SPDX-License-Identifier: Apache-2.0

package limiter

import (
	"sync"
	"time"

	"github.com/hotspot-agent/hotspot-agent/internal/bench/report"
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
		bounds.goodput = report.AtLeast(0.75) // its single flows at low speeds scatter
	}
	all := []report.Row{
		row(goodput, r.goodput, "", least, bounds.goodput),
		row(retransmitted, r.retransmitted*100, "%", resendGoal(c), nil),
		row(echoLoss, r.echoLost*100, "%", report.AtMost(0.5), bounds.echo),
		row(echoDelay, float64(r.echoAdded)/float64(time.Millisecond), "ms", report.AtMost(1), nil),
		row(lineLate, float64(r.line.Late)/float64(time.Millisecond), "ms", nil, nil),
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

// results are kept until all are there: for the means, and the ratios of what one
// subject did to what another did in the same cell.
type results struct {
	mu     sync.Mutex
	all    []kept
	thrice int // cells that missed a goal at first
}

type kept struct {
	by string
	c  cell
	r  result
}

func (r *results) keep(by subject, c cell, got result, thrice bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, kept{by.name, c, got})
	if thrice {
		r.thrice++
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

// summary adds the rows that are about several results.
func (s *study) summary() {
	shaped := make(map[string]float64)
	for _, k := range s.results.all {
		if k.by == htbSubject.name {
			shaped[k.c.String()] = k.r.goodput
		}
	}
	means := make(map[string][]float64)
	for _, k := range s.results.all {
		means[k.by] = append(means[k.by], k.r.goodput)
		if reference := shaped[k.c.String()]; k.by != htbSubject.name && reference > 0 {
			row := report.Row{Study: name, Cell: k.c.String(), At: k.c.window(), Subject: k.by, Metric: goodput,
				Value: k.r.goodput / reference, Versus: htbSubject.name}
			if k.by == "fair" {
				row.Bound = report.AtLeast(0.9)
			}
			s.out.Add(row)
		}
	}
	for _, by := range s.subjects {
		if len(means[by.name]) == 0 {
			continue
		}
		row := report.Row{Study: name, Subject: by.name, Metric: meanGoodput, Value: mean(means[by.name])}
		if by.name == "fair" {
			row.Goal = report.AtLeast(0.99)
			s.out.Add(report.Row{Study: name, Subject: by.name, Metric: "cells measured thrice", Value: float64(s.results.thrice)})
		}
		s.out.Add(row)
	}
}
