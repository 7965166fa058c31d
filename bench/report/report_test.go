// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hotspot-agent/hotspot-agent/internal/machine"
)

func TestRowsAreJSONLines(t *testing.T) {
	var lines bytes.Buffer
	r := New(&lines, io.Discard)
	r.On(machine.Read("v1"))
	row := Row{Study: "limiter", Cell: "10 Mbit/s", Subject: "fair", Metric: "goodput", Value: 0.99, Goal: AtLeast(0.97)}
	r.Add(row, row)
	if err := r.Err(); err != nil {
		t.Fatal(err)
	}
	decoder := json.NewDecoder(&lines)
	var first struct{ Machine machine.Info }
	if err := decoder.Decode(&first); err != nil || first.Machine.CPUs < 1 || first.Machine.Kernel == "" {
		t.Errorf("the machine: %+v, %v", first, err)
	}
	for range 2 {
		var got Row
		if err := decoder.Decode(&got); err != nil {
			t.Fatal(err)
		}
		if got.Value != row.Value || *got.Goal != *row.Goal {
			t.Errorf("got %+v, want %+v", got, row)
		}
	}
}

func TestTableNamesTheWorstCell(t *testing.T) {
	r := New(io.Discard, io.Discard)
	for cell, value := range map[string]float64{"good": 1, "bad": 0.5, "worse": 0.25} {
		r.Add(Row{Study: "limiter", Cell: cell, Subject: "fair", Metric: "goodput", Value: value, Goal: AtLeast(0.97)})
	}
	var table strings.Builder
	if err := r.WriteTable(&table); err != nil {
		t.Fatal(err)
	}
	_, row, _ := strings.Cut(table.String(), "\n")
	last := strings.Fields(row)
	want := []string{"limiter", "goodput", "fair", "0.250", "0.500", "1", ">=", "0.970", "1/3", "worse"}
	if strings.Join(last, " ") != strings.Join(want, " ") {
		t.Errorf("got %q, want %q", last, want)
	}
}

func TestCrossedAreThoseBeyondTheirBound(t *testing.T) {
	r := New(io.Discard, io.Discard)
	r.Add(
		Row{Metric: "free", Value: 9},
		Row{Metric: "kept", Value: 1.2, Goal: AtMost(1), Bound: AtMost(1.5)},
		Row{Metric: "crossed", Value: 1.6, Bound: AtMost(1.5)},
		Row{Metric: "low", Value: 0.8, Bound: AtLeast(0.9)},
	)
	var got []string
	for _, row := range r.Crossed() {
		got = append(got, row.Metric)
	}
	if strings.Join(got, " ") != "crossed low" {
		t.Errorf("got %v", got)
	}
}

type brokenWriter struct{}

var errBroken = errors.New("broken")

func (brokenWriter) Write([]byte) (int, error) { return 0, errBroken }

func TestAFailedWriteIsReported(t *testing.T) {
	r := New(brokenWriter{}, io.Discard)
	r.Add(Row{Study: "limiter", Metric: "goodput"})
	if !errors.Is(r.Err(), errBroken) {
		t.Errorf("got %v", r.Err())
	}
}

func TestResume(t *testing.T) {
	var lines bytes.Buffer
	first := New(&lines, io.Discard)
	first.On(machine.Info{Version: "one"})
	cell := Row{Study: "limiter", Cell: "a cell", Subject: "fair", Metric: "goodput", Value: 1, Goal: AtLeast(0.9)}
	ratio := cell
	ratio.Versus = "htb"
	first.Add(cell, ratio, Row{Study: "limiter", Subject: "fair", Metric: "mean"}, Row{Study: "cost", Cell: "a cell", Subject: "fair"})
	lines.WriteString(`{"study":"limiter","cell":"cut off`)

	var again bytes.Buffer
	second := New(&again, io.Discard)
	on, err := second.Resume("limiter", &lines)
	if err != nil || len(on) != 1 || on[0].Version != "one" {
		t.Fatalf("got %v, %v", on, err)
	}
	if diff := cmp.Diff([]Row{cell}, second.Rows()); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
	if !second.Has("limiter", "a cell", "fair") || second.Has("limiter", "a cell", "htb") || second.Has("limiter", "another", "fair") {
		t.Error("Has does not find an existing row")
	}
	if n := strings.Count(again.String(), "\n"); n != 2 {
		t.Errorf("%d lines are written again, want the machine and the cell:\n%s", n, again.String())
	}
	if _, err := New(io.Discard, io.Discard).Resume("limiter", strings.NewReader("no JSON")); err == nil {
		t.Error("what is no JSON is taken")
	}
}
