// SPDX-License-Identifier: Apache-2.0

package linux

import "github.com/hotspot-agent/hotspot-agent/pkg/dataplane"

// exposureBacklog is more than a reader that works ever leaves.
const exposureBacklog = 64

// Unprotected delivers the beginning and the end of each such time. One that is not received
// in time is dropped; it is in the log and in Status all the same.
func (d *Dataplane) Unprotected() <-chan dataplane.Unprotected { return d.exposed }

// exposure keeps the account of the time for which an interface was up without both
// programs: from the moment when the kernel told of the change, or where it does not,
// from the last look at which all was well. What was before this process looked for
// the first time it cannot know.
func (d *Dataplane) exposure(before, now attachment, did change, heard dataplane.Boottime) attachment {
	now.UnprotectedFor, now.unprotectedSince = before.UnprotectedFor, before.unprotectedSince
	open := now.up && !now.Attached && !now.covered
	if now.unprotectedSince == 0 && d.seen.looked != 0 && (open || now.up && did == attached) {
		now.unprotectedSince = d.unprotectedFrom(before, now, heard)
		d.opts.Log.Warn("unprotected: an interface is up without our programs", "interface", now.Name)
		d.tell(dataplane.Unprotected{Interface: now.Name})
	}
	if now.unprotectedSince != 0 && !open {
		lasted := BootNow().Sub(now.unprotectedSince)
		now.unprotectedSince = 0
		now.UnprotectedFor += lasted
		d.opts.Log.Warn("protected again", "interface", now.Name, "unprotected_ms", lasted.Milliseconds())
		d.tell(dataplane.Unprotected{Interface: now.Name, Over: true, Lasted: lasted})
	}
	return now
}

// unprotectedFrom: of a link that someone detached the kernel tells nobody, and of a filter
// it tells before it is gone, so that a look which that caused may have come too early.
func (d *Dataplane) unprotectedFrom(before, now attachment, heard dataplane.Boottime) dataplane.Boottime {
	taken := before.Attached && before.Index == now.Index
	early := heard.Sub(d.seen.looked) < 2*settles
	if heard == 0 || taken && (now.Mode == dataplane.TCX || early) {
		return d.seen.looked
	}
	return heard
}

func (d *Dataplane) tell(e dataplane.Unprotected) {
	select {
	case d.exposed <- e:
	default:
		d.opts.Log.Warn("nobody takes what is told of interfaces", "interface", e.Interface)
	}
}
