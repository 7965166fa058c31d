// SPDX-License-Identifier: Apache-2.0

package sessions

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
)

// Usable reports whether Connect may start the session.
func Usable(s Session, now Instant) bool {
	return (s.State == Available || s.State == Paused) && !s.Exhausted() && !now.Expired(s)
}

// Choose picks what Connect starts: the first of the ranked.
func Choose(list []Session, now Instant) (Session, bool) {
	list = Ranked(list, now)
	if len(list) == 0 {
		return Session{}, false
	}
	return list[0], true
}

// Ranked returns the usable sessions in the order in which they are consumed: the
// one already started, then the one that expires first, then the oldest.
func Ranked(list []Session, now Instant) []Session {
	list = slices.DeleteFunc(slices.Clone(list), func(s Session) bool { return !Usable(s, now) })
	slices.SortFunc(list, func(a, b Session) int {
		return cmp.Or(
			cmp.Compare(startedRank(a), startedRank(b)),
			cmp.Compare(expiryRank(a, now), expiryRank(b, now)),
			cmp.Compare(a.ID, b.ID),
		)
	})
	return list
}

func startedRank(s Session) int {
	if s.State == Paused {
		return 0
	}
	return 1
}

// expiryRank orders by expiry; a session never started expires as if it were
// started now, and one without expiry comes last.
func expiryRank(s Session, now Instant) int64 {
	if s.ExpDays == nil {
		return math.MaxInt64
	}
	if expires, ok := s.Expires(); ok {
		return expires.Unix()
	}
	return now.Wall.Unix() + int64(*s.ExpDays)*24*3600
}

// LocalOnly returns the sessions that the agent sold itself, in the same order.
func LocalOnly(list []Session) []Session {
	var local []Session
	for _, s := range list {
		if s.Provider == LocalProvider {
			local = append(local, s)
		}
	}
	return local
}

// AsStarted is the session as it will be once it runs.
func AsStarted(s Session, r *dataplane.Reading, at Instant) Session {
	if r != nil {
		DebitBytes(&s, *r)
	}
	if s.Started.Before(dataplane.EarliestClock) {
		s.Started = at.Wall
	}
	s.State = Running
	s.Meter.Boot, s.Meter.At = at.BootID, at.Boot
	return s
}

// handoverLead is how long before its end by time a session hands over to the next:
// longer than the store and the kernel take, so that the customer sees no gap. The
// time of each session is charged as if it had been at the end.
const handoverLead = 20 * time.Millisecond

// HandsOver reports a session that ends by time alone. Where bytes are bought, those
// of the last milliseconds would be charged to the wrong session.
func HandsOver(s Session) bool {
	return s.Provider == LocalProvider && s.Type.Timed() && !s.Type.Metered()
}

// HandoverAt is when a running session may hand over, 0 for never.
func HandoverAt(s Session, now Instant) dataplane.Boottime {
	end := Deadline(s, now)
	if !HandsOver(s) || end <= dataplane.Boottime(handoverLead) {
		return end
	}
	return end.Add(-handoverLead)
}

// Activity is what was observed of a running session besides its balance.
type Activity struct {
	Closed      bool               // the kernel met its byte limit
	LastSeen    dataplane.Boottime // last packet from the device, or its start; 0: not known
	IdleTimeout time.Duration      // idle time-out; 0: none
}

// NextState reports whether a settled, running session is over, and then its next
// state and why.
func NextState(s Session, w Activity, now Instant) (next State, reason string, over bool) {
	switch {
	case s.Exhausted(), w.Closed && s.BelowOnePacket():
		return Consumed, ReasonConsumed, true
	case now.Expired(s):
		return Expired, ReasonExpired, true
	case w.IdleTimeout > 0 && w.LastSeen > 0 && now.Boot >= w.LastSeen.Add(w.IdleTimeout):
		return Paused, ReasonIdle, true
	}
	return Running, "", false
}

// BelowOnePacket reports that a session whose byte limit was met has no use for what is
// left. With more left, it was topped up since.
func (s Session) BelowOnePacket() bool { return s.Type.Metered() && s.RemainingBytes() < mtu }

// LimitMet reports that the kernel dropped frames at the byte limit since the
// baseline. Its event may be lost or still on its way.
func LimitMet(s Session, r *dataplane.Reading) bool {
	return r != nil && r.Counters.LimitDrops > s.Meter.Since(r.Epoch).Drops
}

// RestState is the state of a session that does not run, by what is left of it.
func RestState(s Session, now Instant) State {
	switch {
	case s.Exhausted():
		return Consumed
	case now.Expired(s):
		return Expired
	case s.Started.IsZero():
		return Available
	}
	return Paused
}
