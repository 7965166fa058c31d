// SPDX-License-Identifier: Apache-2.0

package sessions

import (
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
)

// Why a client was disconnected or a session stopped: the Reason of an event.
const (
	ReasonRequest  = "request"  // somebody asked for it
	ReasonConsumed = "consumed" // the session is used up
	ReasonExpired  = "expired"
	ReasonIdle     = "idle"    // the device was silent for the idle time-out
	ReasonDeleted  = "deleted" // the session was deleted
	ReasonReboot   = "reboot"  // the machine was started again
	ReasonStopped  = "stopped" // the agent was, and its configuration says to disconnect
	ReasonTrusted  = "trusted" // the configuration lets the device through without a session
	ReasonBlocked  = "blocked" // the configuration blocks the device
	ReasonFailed   = "failed"  // the kernel refused; Message says what
)

// watch is what was observed of a running session besides its balance.
type watch struct {
	closed   bool               // the kernel met its byte limit
	lastSeen dataplane.Boottime // last packet, or its start; 0: not known
	idle     time.Duration      // idle time-out; 0: none
}

// judge says whether a settled, running session goes on, and otherwise its next
// state and why.
func judge(s Session, w watch, now moment) (next State, reason string, over bool) {
	switch {
	case s.spent(), w.closed && s.writtenOff():
		return Consumed, ReasonConsumed, true
	case now.expired(s):
		return Expired, ReasonExpired, true
	case w.idle > 0 && w.lastSeen > 0 && now.boot >= w.lastSeen.Add(w.idle):
		return Paused, ReasonIdle, true
	}
	return Running, "", false
}

// writtenOff reports that a session whose byte limit was met has no use for what is
// left. With more left, it was topped up since.
func (s Session) writtenOff() bool { return s.metered() && s.RemainingBytes() < mtu }

// limitMet reports that the kernel dropped frames at the byte limit since the
// baseline. Its event may be lost or still on its way.
func limitMet(s Session, r *dataplane.Reading) bool {
	return r != nil && r.Counters.LimitDrops > s.Meter.in(r.Epoch).drops
}

// restState is the state of a session that does not run, by what is left of it.
func restState(s Session, now moment) State {
	switch {
	case s.spent():
		return Consumed
	case now.expired(s):
		return Expired
	case s.Started.IsZero():
		return Available
	}
	return Paused
}
