// SPDX-License-Identifier: Apache-2.0

// Package report holds what the torture found: a row for each fault, with what it
// cost and what was promised.
package report

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// Row is what one fault did, in all its runs.
type Row struct {
	Fault     string        `json:"fault"`
	Runs      int           `json:"runs"`
	Purchases Figure        `json:"purchases"`   // answered, and lost
	Bytes     Figure        `json:"bytes"`       // lost, or charged twice
	Packets   Figure        `json:"packets"`     // of connected customers, lost to the fault
	Unpaid    Figure        `json:"unpaid"`      // packets that passed without being paid for
	Recovery  time.Duration `json:"recovery_ns"` // the longest until all was well again; 0: nothing to recover from
	Most      time.Duration `json:"most_ns"`     // that Recovery may be; 0: not promised
	Notes     []string      `json:"notes,omitempty"`
	Failures  []string      `json:"failures,omitempty"` // promises of this fault that no column has
}

// Figure is a count next to the most that is promised. The zero Figure was not measured.
type Figure struct {
	Measured bool  `json:"measured"`
	Value    int64 `json:"value"`
	Most     int64 `json:"most"` // 0 nearly everywhere; a power cut may cost a checkpoint's bytes
}

// Zero is a measured figure that has to be 0.
func Zero(value int64) Figure { return Figure{Measured: true, Value: value} }

// AtMost is a measured figure with a bound.
func AtMost(value, most int64) Figure { return Figure{Measured: true, Value: value, Most: most} }

// Broken returns the promises that the row breaks, in words; none when it keeps all.
func (r Row) Broken() []string {
	broken := slices.Clone(r.Failures)
	for _, c := range r.columns() {
		if c.Measured && c.Value > c.Most {
			broken = append(broken, fmt.Sprintf("%s: %d, promised at most %d", c.name, c.Value, c.Most))
		}
	}
	if r.Most > 0 && r.Recovery > r.Most {
		broken = append(broken, fmt.Sprintf("recovery: %v, promised at most %v", r.Recovery, r.Most))
	}
	if r.Runs == 0 {
		broken = append(broken, "no run")
	}
	return broken
}

type column struct {
	Figure
	name string
}

func (r Row) columns() []column {
	return []column{
		{r.Purchases, "purchases lost"}, {r.Bytes, "bytes lost or charged twice"},
		{r.Packets, "packets lost"}, {r.Unpaid, "unpaid packets"},
	}
}

func (f Figure) String() string {
	switch {
	case !f.Measured:
		return "-"
	case f.Most > 0:
		return fmt.Sprintf("%d (of %d)", f.Value, f.Most)
	}
	return strconv.FormatInt(f.Value, 10)
}

// WriteTable writes a line for each fault, and below what was broken.
func WriteTable(w io.Writer, rows []Row) error {
	out := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(out, "fault\truns\tpurchases lost\tbytes lost or twice\tpackets lost\tunpaid passed\trecovery\tkept\tnotes")
	for _, r := range rows {
		kept := "yes"
		if len(r.Broken()) > 0 {
			kept = "NO"
		}
		recovery := "-"
		if r.Recovery > 0 {
			recovery = r.Recovery.Round(time.Millisecond / 10).String()
		}
		fmt.Fprintf(out, "%s\t%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.Fault, r.Runs, r.Purchases, r.Bytes, r.Packets, r.Unpaid,
			recovery, kept, strings.Join(r.Notes, "; "))
	}
	if err := out.Flush(); err != nil {
		return err
	}
	for _, r := range rows {
		for _, why := range r.Broken() {
			fmt.Fprintf(w, "broken: %s: %s\n", r.Fault, why)
		}
	}
	return nil
}

// WriteLines writes each row as a JSON line.
func WriteLines(w io.Writer, rows []Row) error {
	out := json.NewEncoder(w)
	for _, r := range rows {
		if err := out.Encode(r); err != nil {
			return err
		}
	}
	return nil
}
