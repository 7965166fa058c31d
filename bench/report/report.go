// SPDX-License-Identifier: Apache-2.0

// Package report holds what a benchmark measured: rows of figures, each next to its
// goal and to what it is compared with in the same run.
package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/hotspot-agent/hotspot-agent/internal/machine"
)

// Scale is how much of everything a run measures.
type Scale int

// The scales, with the time that a whole run of them may take.
const (
	Quick   Scale = iota // 3 minutes: part of CI
	Sampled              // 30 minutes
	Full                 // hours: every cell
)

// Row is one figure.
type Row struct {
	Study   string  `json:"study"`            // the part of the benchmark: limiter, cost, forward, control ...
	Cell    string  `json:"cell,omitempty"`   // the conditions, such as "10 Mbit/s 20 ms cubic×4 down"
	At      float64 `json:"at,omitempty"`     // where the cell lies on the axis of a plot, such as a number of customers
	Subject string  `json:"subject"`          // what was measured: fair, bucket, htb, nft, opennds ...
	Metric  string  `json:"metric"`           // what of it: goodput, jain, cost ...
	Value   float64 `json:"value"`            // in Unit
	Unit    string  `json:"unit,omitempty"`   // "" for a ratio
	Goal    *Limit  `json:"goal,omitempty"`   // what is aimed at
	Bound   *Limit  `json:"bound,omitempty"`  // what a change may not cross: wide, so that a busy machine does not either
	Versus  string  `json:"versus,omitempty"` // the subject that Value is a ratio to
}

// Limit is a bound on a value.
type Limit struct {
	Op    string  `json:"op"` // "<=" or ">="
	Value float64 `json:"value"`
}

// AtMost is the limit of a figure that should be small.
func AtMost(v float64) *Limit { return &Limit{Op: "<=", Value: v} }

// AtLeast is the limit of a figure that should be large.
func AtLeast(v float64) *Limit { return &Limit{Op: ">=", Value: v} }

// Met says whether a value keeps the limit. No limit is always kept.
func (l *Limit) Met(v float64) bool {
	if l == nil {
		return true
	}
	if l.Op == "<=" {
		return v <= l.Value
	}
	return v >= l.Value
}

func (l *Limit) String() string {
	if l == nil {
		return ""
	}
	return fmt.Sprintf("%s %s", l.Op, number(l.Value))
}

// Report collects rows. It is safe for concurrent use.
type Report struct {
	mu       sync.Mutex
	rows     []Row
	lines    io.Writer // JSON lines
	progress io.Writer
	err      error // of lines
}

// New makes a report that writes each row to lines as it comes, as JSON, and what
// is printed to progress.
func New(lines, progress io.Writer) *Report { return &Report{lines: lines, progress: progress} }

// On writes the machine as the first line: {"machine": {...}}.
func (r *Report) On(m machine.Info) { r.write(map[string]machine.Info{"machine": m}) }

func (r *Report) write(value any) {
	line, err := json.Marshal(value)
	if err == nil {
		_, err = r.lines.Write(append(line, '\n'))
	}
	if err != nil && r.err == nil {
		r.err = fmt.Errorf("write %v: %w", value, err)
	}
}

// Add adds rows.
func (r *Report) Add(rows ...Row) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, row := range rows {
		r.rows = append(r.rows, row)
		r.write(row)
	}
}

// Resume adds what a run that was interrupted had measured of a study, from its JSON
// lines, and returns where and when that was. What is about several cells at once is
// left out: it is computed anew.
func (r *Report) Resume(study string, lines io.Reader) (on []machine.Info, err error) {
	in := json.NewDecoder(lines)
	for {
		var line struct {
			Row
			Machine *machine.Info `json:"machine"`
		}
		err := in.Decode(&line)
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF): // the last line may be cut
			return on, nil
		case err != nil:
			return on, fmt.Errorf("what was measured before: %w", err)
		case line.Machine != nil:
			r.On(*line.Machine)
			on = append(on, *line.Machine)
		case line.Study == study && line.Cell != "" && line.Versus == "":
			r.Add(line.Row)
		}
	}
}

// Has says whether a subject has figures of a cell.
func (r *Report) Has(study, cell, subject string) bool {
	return slices.ContainsFunc(r.Rows(), func(row Row) bool {
		return row.Study == study && row.Cell == cell && row.Subject == subject
	})
}

// Say prints a line of progress.
func (r *Report) Say(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Fprintf(r.progress, format+"\n", args...)
}

// Rows returns what was added up to now.
func (r *Report) Rows() []Row {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Row(nil), r.rows...)
}

// Err is the first error of writing rows.
func (r *Report) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}
