// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"cmp"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/attach"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/kernel"
)

// recordUnprotected adds up the time for which an interface was up without both
// programs: from when the kernel notified of the change, or where it does not, from the
// last check that found all well. What was before the first check is unknown.
func (i *interfaces) recordUnprotected(before, now attachment, found hooks, notified dataplane.Boottime) attachment {
	now.UnprotectedFor, now.unprotectedSince = before.UnprotectedFor, before.unprotectedSince
	open := now.up && !now.Attached && !now.covered
	if now.unprotectedSince == 0 && before.checkedAt != 0 && (open || now.up && found.did >= attach.Moved) {
		now.unprotectedSince = unprotectedFrom(before, now, notified)
		cause := cmp.Or(now.Problem, found.overtook(), "our programs were not on it")
		i.log.Warn("unprotected: an interface is up without our programs before all others", "interface", now.Name, "cause", cause)
		i.pending = append(i.pending, dataplane.Unprotected{Interface: now.Name, Cause: cause})
	}
	if now.unprotectedSince != 0 && !open {
		lasted := kernel.BootNow().Sub(now.unprotectedSince)
		now.unprotectedSince = 0
		now.UnprotectedFor += lasted
		i.log.Warn("protected again", "interface", now.Name, "unprotected_ms", lasted.Milliseconds())
		i.pending = append(i.pending, dataplane.Unprotected{Interface: now.Name, Over: true, Lasted: lasted})
	}
	return now
}

// unprotectedFrom: the kernel does not notify of a link that another process detached, and
// it notifies of a filter before that is gone, so that the check which this caused may
// have come too early.
func unprotectedFrom(before, now attachment, notified dataplane.Boottime) dataplane.Boottime {
	taken := before.Attached && before.Index == now.Index
	early := notified.Sub(before.checkedAt) < 2*recheckDelay
	if notified == 0 || taken && (now.Mode == dataplane.TCX || early) {
		return before.checkedAt
	}
	return notified
}
