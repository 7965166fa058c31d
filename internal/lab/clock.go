// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"time"

	"golang.org/x/sys/unix"
)

// Boottime reads CLOCK_BOOTTIME, the clock that the agent's deadlines are on.
func Boottime() time.Duration { return readClock(unix.CLOCK_BOOTTIME) }

// BoottimeOf converts a time of the wall clock into CLOCK_BOOTTIME, by the present offset
// of the two.
func BoottimeOf(t time.Time) time.Duration {
	before := readClock(unix.CLOCK_BOOTTIME)
	wall := readClock(unix.CLOCK_REALTIME)
	after := readClock(unix.CLOCK_BOOTTIME)
	return time.Duration(t.UnixNano()) - wall + before + (after-before)/2
}

func readClock(id int32) time.Duration {
	var ts unix.Timespec
	_ = unix.ClockGettime(id, &ts) // cannot fail for a clock that exists
	return time.Duration(ts.Nano())
}
