// SPDX-License-Identifier: Apache-2.0

package running

import (
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// Readings are readings by account.
type Readings map[dataplane.Account]dataplane.Reading

func (c Readings) Of(id sessions.SessionID) *dataplane.Reading {
	if r, ok := c[id.Account()]; ok {
		return &r
	}
	return nil
}

// Checkpoint is a checkpoint's look at all readings. Most running sessions simply go on:
// they get a mark. Only those of which more is to be said have their row written.
type Checkpoint struct {
	Now      sessions.Instant
	Counts   sessions.Checkpoint
	NeedRow  []sessions.DeviceID // whose session ended, became low, has a provider …
	Read     Readings            // of those
	Orphaned []dataplane.Reading // of accounts that no session runs on

	met     int  // readings of running sessions
	Timed   bool // a session runs whose time is used
	Changed bool // a mark is not what it was
}

func (t *Table) Scan(v *Checkpoint, readings []dataplane.Reading, round uint16) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range readings {
		r := &readings[i]
		v.Counts.Epoch = r.Epoch
		e := t.of(r)
		if e == nil {
			v.Orphaned = append(v.Orphaned, *r)
			continue
		}
		e.round = round
		v.met++
		e.rate.observe(r, v.Now.Boot, t.cfg.RateMemory)
		t.see(e, r.Counters.LastSeen, v.Now)
		if !e.withinLimits(r, v.Now.Boot) && e.needsRow(t.cfg, r, v.Now) {
			v.NeedRow = append(v.NeedRow, e.row.device)
			v.Read[r.Account] = *r
			continue
		}
		v.count(e, r)
	}
}

// count notes how far a session came that goes on.
func (v *Checkpoint) count(e *Entry, r *dataplane.Reading) {
	v.Timed = v.Timed || e.row.kind.Timed()
	spent := r.Counters.Spent()
	if spent > e.row.Since(r.Epoch).Spent {
		v.Counts.Spent = append(v.Counts.Spent, sessions.Count{Session: e.row.id, Spent: spent})
	}
	v.Changed = v.Changed || spent != e.counted
	e.counted = spent
}

// ScanUnread looks at the running sessions that have no reading, by time alone.
func (t *Table) ScanUnread(v *Checkpoint, round uint16) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if v.met == len(t.byID) {
		return
	}
	for _, e := range t.byID {
		if e.round == round {
			continue
		}
		v.Timed = v.Timed || e.row.kind.Timed()
		if e.needsRow(t.cfg, nil, v.Now) {
			v.NeedRow = append(v.NeedRow, e.row.device)
		}
	}
}

// needsRow reports that a running session does not simply go on. r may be nil.
func (e *Entry) needsRow(cfg Config, r *dataplane.Reading, now sessions.Instant) bool {
	s := e.row.session()
	if s.Provider != sessions.LocalProvider || now.WallTrusted && s.Started.Before(sessions.EarliestClock) || sessions.LimitMet(s, r) {
		return true // its provider is told; it is dated; the kernel's drops are settled
	}
	s = sessions.AsOf(s, r, now)
	w := sessions.Activity{IdleTimeout: cfg.IdleTimeout}
	if r != nil {
		if r.Counters.Spent() < e.row.Since(r.Epoch).Spent {
			return true // a count that went backwards
		}
		w.LastSeen = e.lastSeen
	}
	_, _, over := sessions.NextState(s, w, now)
	return over || !s.Meter.Low && sessions.IsLow(s, cfg.LowBalancePercent)
}

func (t *Table) NeedsRow(id sessions.SessionID, r *dataplane.Reading, now sessions.Instant) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.byID[id]
	return e != nil && e.needsRow(t.cfg, r, now)
}
