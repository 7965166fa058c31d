// SPDX-License-Identifier: Apache-2.0

package dataplane

import "time"

// exposureBacklog is more than a reader that works ever leaves.
const exposureBacklog = 64

// Unprotected reports that a client-facing interface is up without our programs, or that this ended.
type Unprotected struct {
	Interface string
	Over      bool          // it is protected again, gone, or down
	Lasted    time.Duration // when it is over
}

// Unprotected delivers the beginning and the end of each such time. One that is not received
// in time is dropped; it is in the log and in Status all the same.
func (d *Dataplane) Unprotected() <-chan Unprotected { return d.exposed }

// exposure keeps the account of the time for which an interface was up without both
// programs: from the moment when the kernel told of the change, or where it does not,
// from the last look at which all was well. What was before this process looked for
// the first time it cannot know.
func (d *Dataplane) exposure(before, now Interface, did change, heard Boottime) Interface {
	now.UnprotectedFor, now.exposed = before.UnprotectedFor, before.exposed
	open := now.up && !now.Attached && !now.covered
	if now.exposed == 0 && d.seen.looked != 0 && (open || now.up && did == attached) {
		now.exposed = d.exposedSince(before, now, heard)
		d.opts.Log.Warn("unprotected: an interface is up without our programs", "interface", now.Name)
		d.tell(Unprotected{Interface: now.Name})
	}
	if now.exposed != 0 && !open {
		lasted := BootNow().Sub(now.exposed)
		now.exposed = 0
		now.UnprotectedFor += lasted
		d.opts.Log.Warn("protected again", "interface", now.Name, "unprotected_ms", lasted.Milliseconds())
		d.tell(Unprotected{Interface: now.Name, Over: true, Lasted: lasted})
	}
	return now
}

// exposedSince: of a link that someone detached the kernel tells nobody, and of a filter
// it tells before it is gone, so that a look which that caused may have come too early.
func (d *Dataplane) exposedSince(before, now Interface, heard Boottime) Boottime {
	taken := before.Attached && before.Index == now.Index
	early := heard.Sub(d.seen.looked) < 2*settles
	if heard == 0 || taken && (now.Mode == TCX || early) {
		return d.seen.looked
	}
	return heard
}

func (d *Dataplane) tell(e Unprotected) {
	select {
	case d.exposed <- e:
	default:
		d.opts.Log.Warn("nobody takes what is told of interfaces", "interface", e.Interface)
	}
}
