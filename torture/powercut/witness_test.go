// SPDX-License-Identifier: Apache-2.0

package powercut

import (
	"strings"
	"testing"
)

// lived is a boot in which the main session was bought and had traffic for ten seconds,
// 100 bytes in each.
const lived = `
@ROWS 0
@BOUGHT 1 3600
@CONNECTED
@BOUGHT 2 60
@WILL 500
@GOT 500 5000
@WILL 1100
@GOT 1000 10000`

// What a cut may not cost is seen, whichever it is.
func TestWitness(t *testing.T) {
	for name, c := range map[string]struct {
		after, found string
		broken       string // of the rows; "" for none
	}{
		"all kept":            {"pause", "@ROW 1 paused 3600 9 1000\n@ROW 2 available 60 0 0", ""},
		"a checkpoint given":  {"pause", "@ROW 1 paused 3600 5 500\n@ROW 2 available 60 0 0", ""},
		"more given":          {"pause", "@ROW 1 paused 3600 5 499\n@ROW 2 available 60 0 0", "bytes lost or charged twice: 1"},
		"sent, not seen":      {"pause", "@ROW 1 paused 3600 9 1100\n@ROW 2 available 60 0 0", ""},
		"charged too much":    {"pause", "@ROW 1 paused 3600 9 1101\n@ROW 2 available 60 0 0", "bytes lost or charged twice: 1"},
		"a purchase lost":     {"pause", "@ROW 1 paused 3600 9 1000", "purchases lost: 1"},
		"a top-up lost":       {"pause", "@ROW 1 paused 3600 9 1000\n@ROW 2 available 59 0 0", "purchases lost: 1"},
		"not paused":          {"pause", "@ROW 1 running 3600 9 1000\n@ROW 2 available 60 0 0", "after_reboot: pause left"},
		"resumed":             {"resume", "@ROW 1 running 3600 9 1000\n@ROW 2 available 60 0 0", ""},
		"not resumed":         {"resume", "@ROW 1 paused 3600 9 1000\n@ROW 2 available 60 0 0", "after_reboot: resume left"},
		"expired by the boot": {"pause", "@ROW 1 expired 3600 9 1000\n@ROW 2 available 60 0 0", "wrong clock"},
		"time out of nothing": {"pause", "@ROW 1 paused 3600 99 1000\n@ROW 2 available 60 0 0", "were charged in a boot of"},
	} {
		w := newWitness()
		w.boot(c.after)
		listen(t, w, lived)
		w.boot(c.after)
		listen(t, w, c.found+"\n@ROWS 2")
		if got := brokenIn(w, 1); c.broken == "" && got != "" || !strings.Contains(got, c.broken) {
			t.Errorf("%s: broken is %q, want %q", name, got, c.broken)
		}
	}
}

// brokenIn is what cuts broke that found so many unflushed writes.
func brokenIn(w *witness, writes int) string {
	var broken []string
	for _, row := range w.rows(&trial{clocks: 1, writes: writes}) {
		broken = append(broken, row.Broken()...)
	}
	return strings.Join(broken, "; ")
}

// Cuts that nothing could have been lost in prove nothing.
func TestWitnessOfNothing(t *testing.T) {
	const found = "@ROW 1 paused 3600 9 1000\n@ROW 2 available 60 0 0\n@ROWS 2"
	for want, c := range map[string]struct {
		lived  string
		writes int
	}{
		"no cut found a write":      {lived, 0},
		"nothing had to be charged": {strings.ReplaceAll(lived, " 5000", " 5001"), 1},
	} {
		w := newWitness()
		w.boot("pause")
		listen(t, w, c.lived)
		w.boot("pause")
		listen(t, w, found)
		if got := brokenIn(w, c.writes); !strings.Contains(got, want) {
			t.Errorf("broken is %q, want %q", got, want)
		}
	}
}

func listen(t *testing.T, w *witness, lines string) {
	t.Helper()
	for line := range strings.Lines(lines) {
		if _, err := w.hear(strings.TrimSpace(line) + " ."); err != nil {
			t.Fatal(err)
		}
	}
}

// A line that the cut tore says nothing.
func TestWitnessHearsWholeLines(t *testing.T) {
	w := newWitness()
	for _, line := range []string{"@BOUGHT 1 36", "BOUGHT 1 3600 .", "[    1.0] the kernel's"} {
		if reported, err := w.hear(line); reported || err != nil || len(w.bought) > 0 {
			t.Errorf("%q is heard: %v", line, err)
		}
	}
}

func TestWitnessHearsFailure(t *testing.T) {
	for _, line := range []string{"@FAILED no disk .", "@DAMAGED | the database is damaged ."} {
		if _, err := newWitness().hear(line); err == nil {
			t.Errorf("%q is no error", line)
		}
	}
}
