// SPDX-License-Identifier: Apache-2.0

package cost

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hotspot-agent/hotspot-agent/bench/report"
)

func TestRowsOfABenchmark(t *testing.T) {
	text := bytes.NewBufferString("goos: linux\nBenchmarkCost-2 \t 3\t 0 ns/op\t 85.66 base-ns\t 1.27 bucket/base\t 0.9 fair-100000/1\t 0.31 load-s\nPASS\n")
	got, err := rows(text)
	if err != nil {
		t.Fatal(err)
	}
	want := []report.Row{
		{Study: "cost", Subject: "base", Metric: "packet", Value: 85.66, Unit: "ns"},
		{Study: "cost", Subject: "bucket", Metric: "packet", Value: 1.27, Versus: "base", Goal: report.AtMost(1.25), Bound: report.AtMost(2.8)},
		{Study: "cost", Subject: "fair-100000", Metric: "packet", Value: 0.9, Versus: "1 client", Goal: report.AtMost(1.15), Bound: report.AtMost(1.6)},
		{Study: "cost", Subject: "both programs", Metric: "check by the kernel", Value: 0.31, Unit: "s", Goal: report.AtMost(1), Bound: report.AtMost(5)},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestNoFigures(t *testing.T) {
	if _, err := rows(bytes.NewBufferString("PASS\n")); err == nil {
		t.Error("no error")
	}
}
