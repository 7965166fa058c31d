// SPDX-License-Identifier: Apache-2.0

package sessions

import (
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

// Rebase makes a reading the baseline of the account without debiting it; nil stands for
// no account.
func (s *Session) Rebase(r *dataplane.Reading) {
	if r == nil {
		s.Meter.Epoch, s.Meter.Spent, s.Meter.Drops = 0, 0, 0
		return
	}
	s.Meter.Epoch, s.Meter.Spent, s.Meter.Drops = r.Epoch, r.Counters.Spent(), r.Counters.LimitDrops
}

// Counted is the part of a baseline that is the account's.
type Counted struct{ Epoch, Spent, Drops uint64 }

// Since is what a reading of an epoch counts on from: 0 in another one than the baseline's,
// where the account started anew.
func (c Counted) Since(epoch uint64) Counted {
	if c.Epoch != epoch {
		return Counted{Epoch: epoch}
	}
	return c
}

// Since is [Counted.Since] of the baseline.
func (b Baseline) Since(epoch uint64) Counted { return b.Counted().Since(epoch) }

// Counted returns the account's part of the baseline: epoch, bytes, and packets dropped at
// the limit.
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
	if s.State != Running || !now.WallTrusted || !s.Started.Before(dataplane.EarliestClock) {
		return
	}
	DebitTime(s, now.Boot, Instant{Boot: now.Boot, BootID: now.BootID}) // no expiry bounded it
	s.Started = now.Wall.Add(-s.TimeUsed)
}

// AsOf returns s as it is now, with a reading of its account; nil: no count is known.
func AsOf(s Session, r *dataplane.Reading, now Instant) Session {
	BackdateStart(&s, now)
	if r != nil {
		DebitBytes(&s, *r)
	}
	DebitTime(&s, now.Boot, now)
	return s
}
