// SPDX-License-Identifier: Apache-2.0

// Package output prints for people and, with --json, for programs.
package output

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"
)

// Show prints value as the API's JSON with --json, else through human.
func Show[T any](to io.Writer, c *cli.Context, value T, human func(io.Writer, T)) error {
	w := Remember(to)
	if !c.Bool("json") {
		human(w, value)
		return w.Err()
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(value)
}

// Table writes aligned columns; cells are escaped, so that no device's hostname
// moves the cursor. A nil header is left out.
func Table(w io.Writer, header []string, rows [][]string) {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if header != nil {
		rows = append([][]string{header}, rows...)
	}
	for _, row := range rows {
		cells := make([]string, len(row))
		for i, cell := range row {
			cells[i] = Printable(cell)
		}
		fmt.Fprintln(tw, strings.TrimRight(strings.Join(cells, "\t"), "\t"))
	}
	_ = tw.Flush() // w remembers
}

// Fields writes "name  value" lines, leaving out those without a value.
func Fields(w io.Writer, pairs ...string) {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			fmt.Fprintf(tw, "%s\t%s\n", pairs[i], Printable(pairs[i+1]))
		}
	}
	_ = tw.Flush()
}

// Printable replaces what a terminal would obey. A hostname comes from a stranger.
func Printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !strconv.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}

// Count is a number with its noun.
func Count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + many
}

// ID is the number of a device or session.
func ID(n int64) string { return strconv.FormatInt(n, 10) }

// Stamp is an instant in local time.
func Stamp(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05") }

// StampOf is Stamp; nil is empty.
func StampOf(t *time.Time) string {
	if t == nil {
		return ""
	}
	return Stamp(*t)
}

// OneLine joins the lines of s.
func OneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// OrDash is s, or a dash for a cell without a value.
func OrDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
