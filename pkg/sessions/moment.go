// SPDX-License-Identifier: Apache-2.0

package sessions

import (
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
)

// earliest is older than this program: a clock that shows less was never set.
var earliest = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)

// moment is all clocks at once, so that one decision sees one time.
type moment struct {
	wall   time.Time
	boot   dataplane.Boottime
	bootID string
	sane   bool // wall can be believed: expiry waits until it can
}

// takeMoment reads the clocks.
func takeMoment(c Clock, t *trust) moment {
	now := moment{wall: c.Now(), boot: c.Boot(), bootID: c.BootID()}
	now.sane = t.believes(now, c)
	return now
}

// dated is the wall time of a start. Under a clock that is not believed it is one
// before earliest: it is dated when the clock is.
func (now moment) dated() time.Time {
	if now.sane {
		return now.wall
	}
	return time.Unix(0, int64(now.boot)).UTC()
}

// at is another moment of this boot, by the clocks as they stand now.
func (now moment) at(boot dataplane.Boottime) moment {
	now.wall, now.boot = now.wallOf(boot), boot
	return now
}

// wallOf converts a moment on CLOCK_BOOTTIME to the wall clock as it stands now.
func (now moment) wallOf(at dataplane.Boottime) time.Time {
	if at == 0 {
		return time.Time{}
	}
	return now.wall.Add(at.Sub(now.boot))
}

// bootOf is the reverse, not before the machine's start.
func (now moment) bootOf(wall time.Time) dataplane.Boottime {
	return max(1, now.boot.Add(wall.Sub(now.wall)))
}

// expired reports whether the session's expiry has passed, as far as the clock can
// be believed.
func (now moment) expired(s Session) bool {
	expires, ok := s.Expires()
	return ok && now.sane && !now.wall.Before(expires)
}
