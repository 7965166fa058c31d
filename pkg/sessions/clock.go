// SPDX-License-Identifier: Apache-2.0

package sessions

import (
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
)

// Clock is the machine's clocks. Rules never read the machine's clocks themselves.
type Clock interface {
	Now() time.Time           // wall clock: for expiry and records only
	Boot() dataplane.Boottime // CLOCK_BOOTTIME: for used time
	BootID() string           // changes when the machine boots
	Synced() bool             // the wall clock is kept by NTP
}
