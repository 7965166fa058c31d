// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestMet(t *testing.T) {
	o := Options{Say: t.Logf}
	for name, c := range map[string]struct {
		took, most time.Duration
		seen       string
		err        error
		met        string
	}{
		"as wanted":     {0, 0, "portal", nil, "yes"},
		"in time":       {time.Second, time.Second, "portal", nil, "yes"},
		"late":          {2 * time.Second, time.Second, "portal", nil, "NO"},
		"something":     {0, 0, "limited", nil, "NO"},
		"with an error": {0, 0, "portal", errors.New("it ended"), "NO"},
	} {
		t.Run(name, func(t *testing.T) {
			own, foreign := New("curl 7", o), NewForeign("curl 7", o)
			own.Within(c.took, c.most, "before paying", "portal", c.seen, c.err)
			foreign.Within(c.took, c.most, "before paying", "portal", c.seen, c.err)
			var table bytes.Buffer
			if err := WriteTable(&table, own.All()); err != nil {
				t.Fatal(err)
			}
			if !strings.HasSuffix(strings.TrimSpace(table.String()), "  "+c.met) {
				t.Errorf("the table does not end with %q:\n%s", c.met, table.String())
			}
			if got, want := Unmet(own.All()), strings.Count(c.met, "NO"); got != want {
				t.Errorf("%d rows are not met, want %d", got, want)
			}
			if got := Unmet(foreign.All()); got != 0 {
				t.Errorf("%d rows of a rival count as not met", got)
			}
		})
	}
}

func TestMedian(t *testing.T) {
	for name, c := range map[string]struct {
		took []time.Duration
		seen string // of the last try
		met  bool
	}{
		"most are in time": {[]time.Duration{5, 1, 2}, "reset", true},
		"most are late":    {[]time.Duration{5, 1, 6}, "reset", false},
		"one differs":      {[]time.Duration{1, 1, 1}, "timed out", false},
	} {
		t.Run(name, func(t *testing.T) {
			rows := New("curl 7", Options{Say: t.Logf})
			rows.Median(len(c.took), 3, "at the end", "reset", func(n int) (time.Duration, string, error) {
				if n == len(c.took)-1 {
					return c.took[n], c.seen, nil
				}
				return c.took[n], "reset", nil
			})
			if got := rows.All(); len(got) != 1 || got[0].Met != c.met {
				t.Errorf("%+v, want met %v", got, c.met)
			}
		})
	}
}
