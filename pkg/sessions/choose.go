// SPDX-License-Identifier: Apache-2.0

package sessions

import (
	"cmp"
	"math"
	"slices"
)

// usable reports whether Connect may start the session.
func usable(s Session, now moment) bool {
	return (s.State == Available || s.State == Paused) && !s.spent() && !now.expired(s)
}

// choose picks what Connect starts: the first of the ranked.
func choose(list []Session, now moment) (Session, bool) {
	list = ranked(list, now)
	if len(list) == 0 {
		return Session{}, false
	}
	return list[0], true
}

// ranked returns the usable sessions in the order in which they are consumed: the
// one already started, then the one that expires first, then the oldest.
func ranked(list []Session, now moment) []Session {
	list = slices.DeleteFunc(slices.Clone(list), func(s Session) bool { return !usable(s, now) })
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
func expiryRank(s Session, now moment) int64 {
	if s.ExpDays == nil {
		return math.MaxInt64
	}
	if expires, ok := s.Expires(); ok {
		return expires.Unix()
	}
	return now.wall.Unix() + int64(*s.ExpDays)*24*3600
}
