// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"sync"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// The wall clock is believed as long as it runs along with CLOCK_BOOTTIME. A step is
// believed when the kernel says that NTP keeps the clock, or when it has held.
const (
	smallStep = time.Minute    // within one boot: needs no confirmation
	fewHours  = 24 * time.Hour // over a reboot: since what was known last
	holdStep  = time.Hour      // of CLOCK_BOOTTIME
)

// trust says whether the wall clock can be believed. A wrong clock costs nobody a
// session: what expires waits. Nor does it outlive its correction: only a wall time
// that was believed is known. Safe for concurrent use.
type trust struct {
	mu     sync.Mutex
	known  time.Time // wall time that was believed last, of this boot or one before; zero: none
	held   epoch     // believed in this boot
	least  epoch     // the earliest that it can be, by what was known before
	seen   epoch     // waits until it has held
	seenAt dataplane.Boottime

	recalled bool
}

// epoch is what the wall clock would have shown at the start of CLOCK_BOOTTIME; zero:
// none. It moves only when the clock is set.
type epoch struct{ time.Time }

func epochOf(now sessions.Instant) epoch { return epoch{now.Wall.Add(-time.Duration(now.Boot))} }

func (e epoch) near(other epoch) bool {
	return !e.IsZero() && e.Sub(other.Time).Abs() <= smallStep
}

// recall begins with what was known last: a wall time, zero for none, and a moment of
// this boot. When that is of an earlier boot, it is the earliest that this moment can
// be. Before, nothing is believed: the first clock would be, whatever it shows.
func (t *trust) recall(known time.Time, at dataplane.Boottime, ofThisBoot bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.recalled = true
	if known.IsZero() {
		return
	}
	t.known = known
	t.least = epochOf(sessions.Instant{Wall: known, Boot: at})
	if ofThisBoot {
		t.held = t.least
	}
}

// believes judges the wall clock of a moment.
func (t *trust) believes(now sessions.Instant, c sessions.Clock) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := epochOf(now)
	switch {
	case !t.recalled:
		return false
	case now.Wall.Before(sessions.EarliestClock): // never set
		t.seen = epoch{}
		return false
	case t.held.near(e), t.held.IsZero() && t.follows(now.Wall), c.Synced(), t.hasHeld(e, now.Boot):
		t.held, t.seen, t.known = e, epoch{}, now.Wall
		return true
	}
	return false
}

// readClocks reads all clocks at once.
func (t *trust) readClocks(c sessions.Clock) sessions.Instant {
	now := sessions.Instant{Wall: c.Now(), Boot: c.Boot(), BootID: c.BootID()}
	now.WallTrusted = t.believes(now, c)
	return now
}

// follows reports a wall time that may well come after the known one.
func (t *trust) follows(wall time.Time) bool {
	return t.known.IsZero() || !wall.Before(t.known) && wall.Sub(t.known) <= fewHours
}

// hasHeld waits for a step to hold.
func (t *trust) hasHeld(e epoch, boot dataplane.Boottime) bool {
	if !t.seen.near(e) {
		t.seen, t.seenAt = e, boot
	}
	return boot.Sub(t.seenAt) >= holdStep
}

// at is the wall time of a moment of this boot, as far as it is known: a step that is
// not believed does not stop it. Before anything is believed it is the earliest possible;
// who restarts in this boot goes on from there, and believes no earlier one.
func (t *trust) at(boot dataplane.Boottime) time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.held
	if e.IsZero() {
		e = t.least
	}
	if e.IsZero() {
		return time.Time{}
	}
	return e.Add(time.Duration(boot)).UTC()
}
