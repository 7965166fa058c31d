// SPDX-License-Identifier: Apache-2.0

// Package sessionstest holds stand-ins for what package sessions is connected to:
// a kernel that enforces rules on packets that a test passes to it, a clock that is set by
// hand, and a store in memory. They are for tests, of other packages too.
package sessionstest

import (
	"sync"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
)

// Clock is a [sessions.Clock] that stands still until a test moves it. Safe for
// concurrent use.
type Clock struct {
	mu     sync.Mutex
	wall   time.Time
	boot   dataplane.Boottime
	bootID string
	synced bool
}

// NewClock returns a clock an hour after the machine's start, in March 2026.
func NewClock() *Clock {
	return &Clock{
		wall:   time.Date(2026, 3, 29, 12, 0, 0, 0, time.UTC),
		boot:   dataplane.Boottime(time.Hour),
		bootID: "boot-1",
		synced: true,
	}
}

// Now is the wall clock.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.wall
}

// Boot is CLOCK_BOOTTIME.
func (c *Clock) Boot() dataplane.Boottime {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.boot
}

// BootID names the machine's run.
func (c *Clock) BootID() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.bootID
}

// Advance lets time pass, on both clocks.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wall, c.boot = c.wall.Add(d), c.boot.Add(d)
}

// Synced says whether NTP keeps the wall clock, as it does at first.
func (c *Clock) Synced() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.synced
}

// SetWall sets the wall clock, as NTP does: no time passes.
func (c *Clock) SetWall(t time.Time) { c.set(t, true) }

// SetWallByHand sets the wall clock, as people and programs do, and a battery that is
// empty.
func (c *Clock) SetWallByHand(t time.Time) { c.set(t, false) }

func (c *Clock) set(t time.Time, synced bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wall, c.synced = t, synced
}

// Reboot is a start of the machine that took d.
func (c *Clock) Reboot(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wall = c.wall.Add(d)
	c.boot = dataplane.Boottime(time.Second)
	c.bootID += "+"
}
