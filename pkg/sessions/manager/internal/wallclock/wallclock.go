// SPDX-License-Identifier: Apache-2.0

// Package wallclock decides whether the wall clock can be trusted.
package wallclock

import (
	"sync"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// The wall clock is trusted as long as it advances with CLOCK_BOOTTIME. A step is
// trusted when the kernel reports that NTP keeps the clock, or when it has held.
const (
	smallStep = time.Minute    // within one boot: needs no confirmation
	fewHours  = 24 * time.Hour // over a reboot: since what was known last
	holdStep  = time.Hour      // of CLOCK_BOOTTIME
)

// Clock is the machine's clocks with a judgement of the wall clock: what expires waits
// until it can be trusted, so that a wrong clock costs no session. A wrong clock does not
// outlive its correction: only a wall time that was trusted is known. Safe for concurrent
// use; reading it waits for no I/O.
type Clock struct {
	sessions.Clock

	mu         sync.Mutex
	known      time.Time // last trusted wall time, of this boot or one before; zero: none
	confirmed  epoch     // trusted in this boot
	lowerBound epoch     // the earliest possible, by what was known before
	seen       epoch     // waits until it has held
	seenAt     dataplane.Boottime
	restored   bool
}

// New returns a Clock that trusts no wall time before [Clock.Restore].
func New(c sessions.Clock) *Clock { return &Clock{Clock: c} }

// Read reads all clocks at once, so that one decision sees one time.
func (c *Clock) Read() sessions.Instant {
	now := sessions.Instant{Wall: c.Now(), Boot: c.Boot(), BootID: c.BootID()}
	now.WallTrusted = c.trustworthy(now)
	return now
}

// epoch is what the wall clock would have shown at the start of CLOCK_BOOTTIME; zero:
// none. It moves only when the clock is set.
type epoch struct{ time.Time }

func epochOf(now sessions.Instant) epoch { return epoch{now.Wall.Add(-time.Duration(now.Boot))} }

func (e epoch) near(other epoch) bool {
	return !e.IsZero() && e.Sub(other.Time).Abs() <= smallStep
}

// Restore sets the wall time that was known last, zero for none, and the boot time that
// belongs to it. One of an earlier boot is the earliest possible at that boot time. No
// wall time is trusted before, for the first one would be, whatever it is.
func (c *Clock) Restore(known time.Time, at dataplane.Boottime, ofThisBoot bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.restored = true
	if known.IsZero() {
		return
	}
	c.known = known
	c.lowerBound = epochOf(sessions.Instant{Wall: known, Boot: at})
	if ofThisBoot {
		c.confirmed = c.lowerBound
	}
}

// trustworthy reports whether the wall time of an instant can be trusted.
func (c *Clock) trustworthy(now sessions.Instant) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := epochOf(now)
	switch {
	case !c.restored:
		return false
	case now.Wall.Before(dataplane.EarliestClock): // never set
		c.seen = epoch{}
		return false
	case c.confirmed.near(e), c.confirmed.IsZero() && c.follows(now.Wall), c.Synced(), c.hasHeld(e, now.Boot):
		c.confirmed, c.seen, c.known = e, epoch{}, now.Wall
		return true
	}
	return false
}

// follows reports a wall time that may well come after the known one.
func (c *Clock) follows(wall time.Time) bool {
	return c.known.IsZero() || !wall.Before(c.known) && wall.Sub(c.known) <= fewHours
}

// hasHeld waits for a step to hold.
func (c *Clock) hasHeld(e epoch, boot dataplane.Boottime) bool {
	if !c.seen.near(e) {
		c.seen, c.seenAt = e, boot
	}
	return boot.Sub(c.seenAt) >= holdStep
}

// WallAt is the wall time at a boot time, as far as it is known: a step that is not
// trusted does not stop it. Before any wall time is trusted it is the earliest possible,
// below which an agent that restarts in this boot trusts none.
func (c *Clock) WallAt(boot dataplane.Boottime) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.confirmed
	if e.IsZero() {
		e = c.lowerBound
	}
	if e.IsZero() {
		return time.Time{}
	}
	return e.Add(time.Duration(boot)).UTC()
}
