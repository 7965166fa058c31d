// SPDX-License-Identifier: Apache-2.0

package sessions

import (
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
)

// Instant is all clocks at once, so that one decision sees one time.
type Instant struct {
	Wall        time.Time
	Boot        dataplane.Boottime
	BootID      string
	WallTrusted bool // wall can be believed: expiry waits until it can
}

// StartTime is the wall time of a start. Under a clock that is not believed it is one
// before earliest: it is dated when the clock is.
func (now Instant) StartTime() time.Time {
	if now.WallTrusted {
		return now.Wall
	}
	return time.Unix(0, int64(now.Boot)).UTC()
}

// At is the instant of another boot time, by the clocks as they stand now.
func (now Instant) At(boot dataplane.Boottime) Instant {
	now.Wall, now.Boot = now.WallAt(boot), boot
	return now
}

// WallAt converts a time of CLOCK_BOOTTIME to the wall clock as it stands now.
func (now Instant) WallAt(at dataplane.Boottime) time.Time {
	if at == 0 {
		return time.Time{}
	}
	return now.Wall.Add(at.Sub(now.Boot))
}

// BootAt is the reverse, not before the machine's start.
func (now Instant) BootAt(wall time.Time) dataplane.Boottime {
	return max(1, now.Boot.Add(wall.Sub(now.Wall)))
}

// Expired reports whether the session's expiry has passed, as far as the clock can
// be believed.
func (now Instant) Expired(s Session) bool {
	expires, ok := s.Expires()
	return ok && now.WallTrusted && !now.Wall.Before(expires)
}
