// SPDX-License-Identifier: Apache-2.0

package sessions

import "github.com/hotspot-agent/hotspot-agent/pkg/dataplane"

// debitBytes adds to Used what the account counted since the baseline, and moves
// the baseline: reading the same count twice debits once. A reading of another
// epoch counts from 0. It reports false for a count that went backwards within
// its epoch, an old reading that came late, and changes nothing then.
func debitBytes(s *Session, r dataplane.Reading) bool {
	from := s.Meter.in(r.Epoch).spent
	spent := r.Counters.Spent()
	if spent < from {
		return false
	}
	s.Used = addBytes(s.Used, spent-from)
	s.Meter.Epoch, s.Meter.Spent = r.Epoch, spent
	s.Meter.Drops = r.Counters.LimitDrops
	return true
}

// counted is the part of a baseline that is the account's.
type counted struct{ epoch, spent, drops uint64 }

// in is what a reading of an epoch goes on from: 0 in another one than the baseline's,
// where the account started anew.
func (c counted) in(epoch uint64) counted {
	if c.epoch != epoch {
		return counted{epoch: epoch}
	}
	return c
}

func (b Baseline) in(epoch uint64) counted { return b.counted().in(epoch) }

func (b Baseline) counted() counted { return counted{b.Epoch, b.Spent, b.Drops} }

// debitTime adds to TimeUsed what a running session ran since the baseline, up to
// until or to its deadline, whichever is first, and moves the baseline. Time of
// another boot is not known and not charged.
func debitTime(s *Session, until dataplane.Boottime, now moment) {
	if s.State != Running || s.Meter.Boot != now.bootID {
		return
	}
	if end := deadline(*s, now); end != 0 {
		until = min(until, end)
	}
	if until <= s.Meter.At {
		return
	}
	s.TimeUsed = addTime(s.TimeUsed, until.Sub(s.Meter.At))
	s.Meter.At = until
}

// date corrects the start of a running session that was started before the wall
// clock was set, once that is: as far back as it has run.
func date(s *Session, now moment) {
	if s.State != Running || !now.sane || !s.Started.Before(earliest) {
		return
	}
	debitTime(s, now.boot, moment{boot: now.boot, bootID: now.bootID}) // no expiry bounded it
	s.Started = now.wall.Add(-s.TimeUsed)
}

// settled returns s as it is at this moment. r may be nil: no count is known.
func settled(s Session, r *dataplane.Reading, now moment) Session {
	date(&s, now)
	if r != nil {
		debitBytes(&s, *r)
	}
	debitTime(&s, now.boot, now)
	return s
}
