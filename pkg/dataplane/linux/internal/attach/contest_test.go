// SPDX-License-Identifier: Apache-2.0

package attach

import (
	"testing"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
)

// Against a program that takes the first place back at once, for an hour.
func TestContestSlowsDown(t *testing.T) {
	var c contest
	var moves []time.Duration
	start := dataplane.Boottime(time.Hour)
	for at := time.Duration(0); at < time.Hour; at += 500 * time.Millisecond {
		if c.allow(start.Add(at)) {
			moves = append(moves, at)
		}
	}
	for i, want := range []time.Duration{0, 500 * time.Millisecond, 1500 * time.Millisecond, 3500 * time.Millisecond, 7500 * time.Millisecond} {
		if moves[i] != want {
			t.Errorf("move %d after %s, want %s", i, moves[i], want)
		}
	}
	if n := len(moves); n < 60 || n > 70 {
		t.Errorf("%d moves in an hour, want about one a minute", n)
	}
	// It gave up: what comes after minutes of calm is met at once.
	if last := start.Add(moves[len(moves)-1]); c.allow(last.Add(time.Second)) || !c.allow(last.Add(calm+time.Second)) || !c.allow(last.Add(calm+2*time.Second)) {
		t.Error("a contest that is over delays the next one")
	}
}
