// SPDX-License-Identifier: Apache-2.0

package powercut

import (
	"fmt"
	"strings"
	"time"

	"github.com/hotspot-agent/hotspot-agent/torture/report"
)

// grace is what a checkpoint may come late on a machine that is emulated.
const grace = 3 * time.Second

// witness remembers what the guest said on its console, across its cuts, and compares
// what the agent finds in its database.
type witness struct {
	bought map[int64]int64 // session: seconds, as answered
	main   int64           // the session with traffic; 0: none yet

	// Of the previous boot and the present one.
	before, now life

	up      bool // the agent has reported its database
	last    string
	found   map[int64]row
	lost    int64 // purchases
	wrong   int64 // bytes charged that the wire did not carry, or lost beyond a checkpoint
	given   int64 // bytes at most that a cut gave to the customer
	broken  []string
	expired []string
	checked int // boots after a cut
	bound   int // of them, before which something had to be charged
}

// life is what happened in one boot.
type life struct {
	after   string // what the agent does with sessions that ran
	used    int64  // bytes of the main session at its start
	secs    int64  // and its used seconds
	will    int64  // bytes that were sent at most
	got     []got  // what arrived when
	durable bool   // something was sold after the main session had been connected
	running bool   // it was connected
}

type got struct {
	bytes int64
	at    time.Duration // CLOCK_BOOTTIME
}

type row struct {
	state       string
	secs, spent int64
	used        int64
}

func newWitness() *witness { return &witness{bought: make(map[int64]int64)} }

// boot begins a new life.
func (w *witness) boot(after string) {
	w.before, w.now = w.now, life{after: after}
	w.up, w.found = false, make(map[int64]row)
}

// hear takes a line of the console; it reports whether that is the guest's own.
func (w *witness) hear(line string) (bool, error) {
	line = strings.TrimSpace(line)
	if line != "" {
		w.last = line
	}
	line, own := strings.CutPrefix(line, "@")
	line, whole := strings.CutSuffix(line, " .")
	if !own || !whole {
		return false, nil
	}
	kind, rest, _ := strings.Cut(line, " ")
	switch kind {
	case "FAILED", "DAMAGED":
		return true, fmt.Errorf("the guest says: %s", line)
	case "CONNECTED":
		w.now.running = true
	case "BOUGHT":
		w.hearPurchase(rest)
	case "WILL":
		_, _ = fmt.Sscan(rest, &w.now.will)
	case "GOT":
		var g got
		var ms int64
		if n, _ := fmt.Sscan(rest, &g.bytes, &ms); n == 2 {
			g.at = time.Duration(ms) * time.Millisecond
			w.now.got = append(w.now.got, g)
		}
	case "ROW":
		w.hearRow(rest)
	case "ROWS":
		w.up = true
		w.judge()
	}
	return true, nil
}

func (w *witness) hearPurchase(text string) {
	var id, secs int64
	if n, _ := fmt.Sscan(text, &id, &secs); n != 2 {
		return
	}
	w.bought[id] = secs
	if w.main == 0 {
		w.main = id
	}
	w.now.durable = w.now.durable || w.now.running
}

func (w *witness) hearRow(text string) {
	var id int64
	var r row
	if n, _ := fmt.Sscan(text, &id, &r.state, &r.secs, &r.spent, &r.used); n == 5 {
		w.found[id] = r
	}
}

// judge compares what the agent found with what was said before the cut.
func (w *witness) judge() {
	for id, secs := range w.bought {
		if r, ok := w.found[id]; !ok || r.secs < secs {
			w.lost++
		}
	}
	main, ok := w.found[w.main]
	if !ok {
		return // not answered before the cut, or counted as lost
	}
	w.checked++
	w.now.used, w.now.secs = main.used, main.spent
	w.judgeUsage(main)
	if want := map[string]string{"pause": "paused", "resume": "running"}[w.now.after]; w.before.durable && main.state != want {
		w.broken = append(w.broken, fmt.Sprintf("after_reboot: %s left the session %s", w.now.after, main.state))
	}
	if main.state == "expired" {
		w.expired = append(w.expired, "a session expired by a wrong clock")
	}
}

// judgeUsage holds what was charged between what had arrived a checkpoint before the
// cut and all that was sent.
func (w *witness) judgeUsage(main row) {
	charged := main.used - w.before.used
	most, least, arrived, lived := w.before.will, int64(0), int64(0), time.Duration(0)
	if n := len(w.before.got); n > 0 {
		arrived, lived = w.before.got[n-1].bytes, w.before.got[n-1].at
	}
	for _, g := range w.before.got {
		if g.at <= lived-checkpoint-grace {
			least = g.bytes
		}
	}
	if least > 0 {
		w.bound++
	}
	w.wrong += max(0, charged-most, least-charged)
	w.given = max(w.given, arrived-charged)
	if spent := time.Duration(main.spent-w.before.secs) * time.Second; spent > lived+grace {
		w.expired = append(w.expired, fmt.Sprintf("%s were charged in a boot of %s", spent, lived))
	}
}

// rows are the figures of all cuts.
func (w *witness) rows(t *trial) []report.Row {
	failures := w.broken
	if t.writes == 0 {
		failures = append(failures, "no cut found a write that was not flushed: they prove nothing")
	}
	if w.bound == 0 {
		failures = append(failures, "nothing had to be charged before a cut: the loss of all usage would not be seen")
	}
	return []report.Row{
		{
			Fault: "power cut", Runs: w.checked, Purchases: report.Zero(w.lost), Bytes: report.Zero(w.wrong), Failures: failures,
			Notes: []string{
				fmt.Sprintf("%d purchases answered, at most %d bytes given to the customer", len(w.bought), w.given),
				fmt.Sprintf("%d of %d unflushed writes lost or torn, in %d of %d cuts", t.lost, t.writes, t.tore, t.cuts),
				fmt.Sprintf("usage had to be charged before %d of %d boots", w.bound, w.checked),
			},
		},
		{
			Fault: "wrong clock at boot", Runs: t.clocks, Purchases: report.Zero(w.lost), Failures: w.expired,
			Notes: []string{"1970 and 2060"},
		},
	}
}
