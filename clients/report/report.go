// SPDX-License-Identifier: Apache-2.0

// Package report holds what clients met: a row for each client and event, with what was
// wanted and what was seen.
package report

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"
)

// Options are the arguments of each study.
type Options struct {
	Agent string // path of the agent's binary
	Root  string // the clients' Debian root, which is not changed
	// Say prints a line of progress.
	Say func(format string, args ...any)
}

// Row is what one client met once.
type Row struct {
	Client  string        `json:"client"`
	When    string        `json:"when"`
	Wanted  string        `json:"wanted"`
	Seen    string        `json:"seen"`
	Took    time.Duration `json:"took_ns,omitempty"`
	Most    time.Duration `json:"most_ns,omitempty"` // that Took may be; 0: not promised
	Tries   int           `json:"tries,omitempty"`   // of which Took is the median
	Met     bool          `json:"met"`
	Foreign bool          `json:"foreign,omitempty"` // of a rival, for comparison: it need not be met
}

// Rows collects the rows of one client. The zero value is not ready: see New.
// It is safe for concurrent use.
type Rows struct {
	client  string
	foreign bool
	say     func(string, ...any)

	mu  sync.Mutex
	all []Row
}

// New makes an empty collection of a client, which is named with its version.
func New(client string, o Options) *Rows { return &Rows{client: client, say: o.Say} }

// NewForeign is New for a client behind a rival.
func NewForeign(client string, o Options) *Rows {
	return &Rows{client: client, foreign: true, say: o.Say}
}

// Is adds a row that is met where what was seen is what was wanted, without an error.
func (r *Rows) Is(when, wanted, seen string, err error) { r.Within(0, 0, when, wanted, seen, err) }

// Within is Is that also has to be there in time; with most = 0 it has not.
func (r *Rows) Within(took, most time.Duration, when, wanted, seen string, err error) {
	row := Row{
		Client: r.client, When: when, Wanted: wanted, Seen: seen, Took: took, Most: most, Foreign: r.foreign,
		Met: err == nil && seen == wanted && (most == 0 || took <= most),
	}
	if err != nil {
		row.Seen = strings.Join(strings.Fields(err.Error()), " ")
	}
	r.add(row)
}

func (r *Rows) add(row Row) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, row)
	r.say("%s, %s: %s", row.Client, row.When, row.seen())
}

// Median tries something several times, and adds a row with the median of what it took. The first
// try that is not as wanted is the row.
func (r *Rows) Median(tries int, most time.Duration, when, wanted string, try func(n int) (time.Duration, string, error)) {
	var all []time.Duration
	for n := range tries {
		took, seen, err := try(n)
		if err != nil || seen != wanted {
			r.Within(took, most, when, wanted, seen, err)
			return
		}
		all = append(all, took)
	}
	slices.Sort(all)
	took := all[len(all)/2]
	r.add(Row{Client: r.client, When: when, Wanted: wanted, Seen: wanted, Took: took, Most: most, Tries: tries, Foreign: r.foreign, Met: took <= most})
}

// All are the rows up to now.
func (r *Rows) All() []Row {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.all
}

// Unmet counts the rows of the agent's that are not as wanted.
func Unmet(rows []Row) (n int) {
	for _, r := range rows {
		if !r.Met && !r.Foreign {
			n++
		}
	}
	return n
}

func (r Row) wanted() string {
	if r.Most == 0 {
		return r.Wanted
	}
	return fmt.Sprintf("%s, within %v", r.Wanted, r.Most)
}

func (r Row) seen() string {
	if r.Took == 0 && r.Most == 0 {
		return r.Seen
	}
	text := fmt.Sprintf("%s, after %v", r.Seen, r.Took.Round(time.Millisecond/10))
	if r.Tries > 1 {
		text += fmt.Sprintf(" (median of %d)", r.Tries)
	}
	return text
}

func (r Row) met() string {
	switch {
	case r.Met:
		return "yes"
	case r.Foreign:
		return "no"
	}
	return "NO"
}

// WriteTable writes a line for each row.
func WriteTable(w io.Writer, rows []Row) error {
	out := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(out, "client\twhen\twanted\tseen\tmet")
	for _, r := range rows {
		fmt.Fprintf(out, "%s\t%s\t%s\t%s\t%s\n", r.Client, r.When, r.wanted(), r.seen(), r.met())
	}
	return out.Flush()
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
