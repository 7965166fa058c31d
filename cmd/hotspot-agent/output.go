// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/units"
	"github.com/hotspot-agent/hotspot-agent/pkg/api"
)

// show prints value as the API's JSON with --json, else through human.
func show[T any](a *app, c *cli.Context, value T, human func(io.Writer, T)) error {
	if !c.Bool("json") {
		human(a.stdout, value)
		return nil
	}
	enc := json.NewEncoder(a.stdout)
	enc.SetEscapeHTML(false)
	return enc.Encode(value)
}

// table writes aligned columns; cells are escaped, so that no device's hostname
// moves the cursor.
func table(w io.Writer, header []string, rows [][]string) {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range append([][]string{header}, rows...) {
		cells := make([]string, len(row))
		for i, cell := range row {
			cells[i] = printable(cell)
		}
		fmt.Fprintln(tw, strings.TrimRight(strings.Join(cells, "\t"), "\t"))
	}
	_ = tw.Flush() // a terminal that is gone is no error worth a line
}

// fields writes "name  value" lines, leaving out those without a value.
func fields(w io.Writer, pairs ...string) {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			fmt.Fprintf(tw, "%s\t%s\n", pairs[i], printable(pairs[i+1]))
		}
	}
	_ = tw.Flush()
}

// printable replaces what a terminal would obey. A hostname comes from a stranger.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !strconv.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + many
}

func id(n int64) string { return strconv.FormatInt(n, 10) }

func stamp(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05") }

func stampOf(t *time.Time) string {
	if t == nil {
		return ""
	}
	return stamp(*t)
}

// remaining is what is left of a session, in the units it was sold in.
func remaining(s api.Session) string {
	left := units.FormatTime(time.Duration(s.RemainingSecs) * time.Second)
	data := units.FormatBytes(s.RemainingBytes)
	switch s.Type {
	case "time":
		return left
	case "data":
		return data
	}
	return left + " or " + data
}

func speeds(s api.Session) string {
	if s.UseGlobalSpeed {
		return "global"
	}
	if s.DownBPS == 0 && s.UpBPS == 0 {
		return "no limit"
	}
	return units.FormatLimit(s.DownBPS) + " / " + units.FormatLimit(s.UpBPS)
}

func expires(s api.Session) string {
	switch {
	case s.ExpiresAt != nil:
		return stamp(*s.ExpiresAt)
	case s.ExpDays != nil:
		return count(int(*s.ExpDays), "day", "days") + " after its start"
	}
	return "never"
}
