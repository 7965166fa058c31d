// SPDX-License-Identifier: Apache-2.0

// Package cost measures what a frame costs in the programs, by PROG_RUN: next to a
// program that only does one hash lookup and one clock read, for one client and for
// 100,000, and how long the kernel takes to check the programs. The figures are those
// of BenchmarkCost of pkg/dataplane/linux, which alone reaches into the programs.
package cost

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strings"

	"golang.org/x/perf/benchfmt"

	"github.com/hotspot-agent/hotspot-agent/bench/report"
)

const study = "cost"

// goals of ratios, and the bounds of a change: as wide as machines differ. Where a lookup
// and the clock take 40 ns instead of 86, fair by them is 2.4 instead of 1.4.
var goals = map[string]struct{ goal, bound *report.Limit }{
	"bucket/base":     {report.AtMost(1.25), report.AtMost(2.8)},
	"fair/base":       {report.AtMost(1.6), report.AtMost(3.5)},
	"bucket-100000/1": {report.AtMost(1.15), report.AtMost(1.6)},
	"fair-100000/1":   {report.AtMost(1.15), report.AtMost(1.6)},
	"load-s":          {report.AtMost(1), report.AtMost(5)},
}

// Run measures at a scale.
func Run(ctx context.Context, scale report.Scale, out *report.Report) error {
	rounds := map[report.Scale]string{report.Quick: "2x", report.Sampled: "10x", report.Full: "20x"}[scale]
	cmd := exec.CommandContext(ctx, "go", "test", "-run=^$", "-bench=^BenchmarkCost$", "-benchtime="+rounds, "./pkg/dataplane/linux")
	var text, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &text, &complaint
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w\n%s%s", strings.Join(cmd.Args, " "), err, text.String(), complaint.String())
	}
	rows, err := rows(&text)
	out.Add(rows...)
	return err
}

func rows(text *bytes.Buffer) (rows []report.Row, err error) {
	results := benchfmt.NewReader(text, "BenchmarkCost")
	for results.Scan() {
		result, ok := results.Result().(*benchfmt.Result)
		if !ok {
			continue
		}
		for _, v := range result.Values {
			if row, ok := rowOf(v); ok {
				rows = append(rows, row)
			}
		}
	}
	if len(rows) == 0 && results.Err() == nil {
		return nil, fmt.Errorf("BenchmarkCost printed no figures:\n%s", text)
	}
	return rows, results.Err()
}

// rowOf reads metrics like "bucket-ns" and "bucket/base".
func rowOf(v benchfmt.Value) (report.Row, bool) {
	metric, value := v.Unit, v.Value
	if v.OrigUnit != "" { // benchfmt tidies units
		metric, value = v.OrigUnit, v.OrigValue
	}
	row := report.Row{Study: study, Value: value, Goal: goals[metric].goal, Bound: goals[metric].bound}
	switch subject, base, isRatio := strings.Cut(metric, "/"); {
	case metric == "load-s":
		row.Subject, row.Metric, row.Unit = "both programs", "check by the kernel", "s"
	case isRatio && base == "op":
		return row, false
	case isRatio:
		row.Subject, row.Metric, row.Versus = subject, "packet", base
	case strings.HasSuffix(metric, "-ns"):
		row.Subject, row.Metric, row.Unit = strings.TrimSuffix(metric, "-ns"), "packet", "ns"
	default:
		return row, false
	}
	if row.Versus == "1" {
		row.Versus = "1 client"
	}
	return row, true
}
