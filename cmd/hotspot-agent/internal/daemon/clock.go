// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"time"

	"golang.org/x/sys/unix"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux"
)

// clock is the machine's clocks, as [sessions.Clock].
type clock struct{ bootID string }

func newClock() (clock, error) {
	id, err := linux.BootID()
	return clock{id}, err
}

func (clock) Now() time.Time           { return time.Now() }
func (clock) Boot() dataplane.Boottime { return linux.BootNow() }
func (c clock) BootID() string         { return c.bootID }

// Synced asks the kernel, which forgets it when the clock is set by hand.
func (clock) Synced() bool {
	state, err := unix.Adjtimex(&unix.Timex{})
	return err == nil && state != unix.TIME_ERROR
}
