// SPDX-License-Identifier: Apache-2.0

package attach

import (
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/kernel"
)

// Each move costs the packets of some RCU grace periods, and a tool that takes the first
// place back each time would never stop.
const (
	movesAtOnce  = 2               // are not delayed
	longestDelay = time.Minute     // between two moves
	calm         = 2 * time.Minute // without a move: the contest is over
)

// contest bounds how often the first place of a hook is taken from another program.
type contest struct {
	moves int
	last  dataplane.Boottime
}

// allow reports whether to move now, and counts the move.
func (c *contest) allow(now dataplane.Boottime) bool {
	since := now.Sub(c.last)
	if c.moves > 0 && since > calm {
		c.moves = 0
	}
	if c.moves > 0 && since < moveDelay(c.moves) {
		return false
	}
	c.moves++
	c.last = now
	return true
}

// moveDelay is the least time from one move to the next, after so many.
func moveDelay(moves int) time.Duration {
	if moves < movesAtOnce {
		return 0
	}
	return min(longestDelay, time.Second<<min(moves-movesAtOnce, 10))
}

// hookKey names a hook of a device.
type hookKey struct{ index, dir int }

// contests are those of the hooks.
type contests map[hookKey]*contest

func (c contests) allow(dev Device, dir int) bool {
	key := hookKey{dev.Index, dir}
	if c[key] == nil {
		c[key] = &contest{}
	}
	return c[key].allow(kernel.BootNow())
}
