// SPDX-License-Identifier: Apache-2.0

package sessions

import (
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
)

// DebitBytes adds to Used what the account counted since the baseline, and moves
// the baseline: reading the same count twice debits once. A reading of another
// epoch counts from 0. It reports false for a count that went backwards within
// its epoch, an old reading that came late, and changes nothing then.
func DebitBytes(s *Session, r dataplane.Reading) bool {
	from := s.Meter.Since(r.Epoch).Spent
	spent := r.Counters.Spent()
	if spent < from {
		return false
	}
	s.Used = addBytes(s.Used, spent-from)
	s.Meter.Epoch, s.Meter.Spent = r.Epoch, spent
	s.Meter.Drops = r.Counters.LimitDrops
	return true
}

// Counted is the part of a baseline that is the account's.
type Counted struct{ Epoch, Spent, Drops uint64 }

// Since is what a reading of an epoch goes on from: 0 in another one than the baseline's,
// where the account started anew.
func (c Counted) Since(epoch uint64) Counted {
	if c.Epoch != epoch {
		return Counted{Epoch: epoch}
	}
	return c
}

func (b Baseline) Since(epoch uint64) Counted { return b.Counted().Since(epoch) }

func (b Baseline) Counted() Counted { return Counted{b.Epoch, b.Spent, b.Drops} }

// DebitTime adds to TimeUsed what a running session ran since the baseline, up to
// until or to its deadline, whichever is first, and moves the baseline. Time of
// another boot is not known and not charged.
func DebitTime(s *Session, until dataplane.Boottime, now Instant) {
	if s.State != Running || s.Meter.Boot != now.BootID {
		return
	}
	if end := Deadline(*s, now); end != 0 {
		until = min(until, end)
	}
	if until <= s.Meter.At {
		return
	}
	s.TimeUsed = addTime(s.TimeUsed, until.Sub(s.Meter.At))
	s.Meter.At = until
}

// BackdateStart corrects the start of a running session that was started before the wall
// clock was set, once that is: as far back as it has run.
func BackdateStart(s *Session, now Instant) {
	if s.State != Running || !now.WallTrusted || !s.Started.Before(EarliestClock) {
		return
	}
	DebitTime(s, now.Boot, Instant{Boot: now.Boot, BootID: now.BootID}) // no expiry bounded it
	s.Started = now.Wall.Add(-s.TimeUsed)
}

// AsOf returns s as it is at this moment. r may be nil: no count is known.
func AsOf(s Session, r *dataplane.Reading, now Instant) Session {
	BackdateStart(&s, now)
	if r != nil {
		DebitBytes(&s, *r)
	}
	DebitTime(&s, now.Boot, now)
	return s
}

// Marks are how far the running sessions had come at one moment. A checkpoint writes
// them instead of a row for each session: they are for the machine that loses its
// counters, by a power cut. Whoever still has the counters needs none.
//
// A mark is a reading that is as good as any: to settle it twice debits once, and
// where the row knows more it changes nothing.
type Marks struct {
	Boot  string
	At    dataplane.Boottime // time is used up to here, by everyone who ran
	Epoch uint64
	Spent []Mark    // of sessions whose rows say less
	Known time.Time // wall time at At by the clock that was believed last, or the earliest that it can be; zero: never
}

// KnownAt is Known for another moment. In a later boot it is the earliest wall time that
// this can be, as if the machine had been off for no time.
func (k Marks) KnownAt(boot string, at dataplane.Boottime) time.Time {
	switch {
	case k.Known.IsZero():
		return k.Known
	case k.Boot != boot:
		return k.Known.Add(time.Duration(at))
	}
	return k.Known.Add(at.Sub(k.At))
}

// Mark is what a session's account had counted.
type Mark struct {
	Session SessionID
	Spent   uint64
}

// MarkIndex are marks by session.
type MarkIndex struct {
	Marks
	spent map[SessionID]uint64
}

func (k Marks) Index() MarkIndex {
	spent := make(map[SessionID]uint64, len(k.Spent))
	for _, mark := range k.Spent {
		spent[mark.Session] = mark.Spent
	}
	return MarkIndex{k, spent}
}

// Debit debits to a running session what its mark says. A row that was written
// later, as of a session that was started again, says it all. The wall clock of the
// marks is not known, so that no expiry bounds them: what had expired was ended then.
func (k MarkIndex) Debit(s *Session) {
	if s.State != Running || s.Meter.Boot != k.Boot || s.Meter.At > k.At {
		return
	}
	if count, ok := k.spent[s.ID]; ok {
		DebitBytes(s, dataplane.Reading{Epoch: k.Epoch, Counters: dataplane.Counters{
			UpBytes: count, LimitDrops: s.Meter.Since(k.Epoch).Drops,
		}})
	}
	DebitTime(s, k.At, Instant{Boot: k.At, BootID: k.Boot})
}

// IsTrusted tells the accounts of trusted devices from those of sessions.
func IsTrusted(a dataplane.Account) bool { return a>>63 != 0 }
