// SPDX-License-Identifier: Apache-2.0

package report

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"text/tabwriter"
)

// line of the table: all cells of one study, metric and subject.
type line struct {
	study, metric, subject, versus, unit string
	values                               []float64
	goal                                 *Limit // of the worst value
	met, judged                          int
	worst                                Row
}

// WriteTable writes one line for each study, metric and subject: its least, middle
// and greatest value over all cells, its goal, and in how many cells that was met.
func (r *Report) WriteTable(w io.Writer) error {
	out := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(out, "study\tmetric\tsubject\tmin\tmedian\tmax\tunit\tgoal\tmet\tworst cell")
	for _, l := range lines(r.Rows()) {
		slices.Sort(l.values)
		unit := l.unit
		if l.versus != "" {
			unit = "× " + l.versus
		}
		met, where := "", ""
		if l.judged > 0 {
			met = fmt.Sprintf("%d/%d", l.met, l.judged)
		}
		if l.met < l.judged {
			where = l.worst.Cell
		}
		fmt.Fprintf(out, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", l.study, l.metric, l.subject,
			number(l.values[0]), number(l.values[len(l.values)/2]), number(l.values[len(l.values)-1]),
			unit, l.goal, met, where)
	}
	return out.Flush()
}

func lines(rows []Row) []*line {
	var all []*line
	found := make(map[[5]string]*line)
	for _, row := range rows {
		key := [5]string{row.Study, row.Metric, row.Subject, row.Versus, row.Unit}
		l := found[key]
		if l == nil {
			l = &line{study: row.Study, metric: row.Metric, subject: row.Subject, versus: row.Versus, unit: row.Unit}
			found[key] = l
			all = append(all, l)
		}
		l.add(row)
	}
	slices.SortStableFunc(all, func(a, b *line) int {
		return cmp.Or(cmp.Compare(a.study, b.study), cmp.Compare(a.metric, b.metric))
	})
	return all
}

func (l *line) add(row Row) {
	l.values = append(l.values, row.Value)
	if row.Goal == nil {
		return
	}
	l.judged++
	if row.Goal.Met(row.Value) {
		l.met++
	}
	if l.goal == nil || margin(row) < margin(l.worst) {
		l.goal, l.worst = row.Goal, row
	}
}

// margin is how far a value is on the good side of its goal.
func margin(row Row) float64 {
	if row.Goal.Op == "<=" {
		return row.Goal.Value - row.Value
	}
	return row.Value - row.Goal.Value
}

// Crossed returns the rows that are beyond their bound.
func (r *Report) Crossed() []Row {
	return slices.DeleteFunc(r.Rows(), func(row Row) bool { return row.Bound.Met(row.Value) })
}

func number(v float64) string {
	switch a := math.Abs(v); {
	case a >= 1000 || v == math.Trunc(v):
		return strconv.FormatFloat(v, 'f', 0, 64)
	case a >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	default:
		return strconv.FormatFloat(v, 'f', 3, 64)
	}
}
