// SPDX-License-Identifier: Apache-2.0

// Package running is the table of running sessions: what is due of each, how fast it is,
// and what a checkpoint has to do for it. All of it is in memory and safe for concurrent use.
package running

import (
	"slices"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// Readings are readings by account.
type Readings map[dataplane.Account]dataplane.Reading

// Of returns the reading of a session, nil when there is none.
func (r Readings) Of(s sessions.Session) *dataplane.Reading {
	if reading, ok := r[s.Account()]; ok {
		return &reading
	}
	return nil
}

// Checkpoint is one pass over all readings. Nearly all running sessions are within their
// limits: their counts are collected. Only the others need their row written. For one
// goroutine.
type Checkpoint struct {
	Now      sessions.Instant
	Counts   sessions.Checkpoint
	NeedRow  []Judged
	Read     Readings            // of those that need their row
	Orphaned []dataplane.Reading // of accounts that no session runs on
	Timed    bool                // a session runs whose time is used
	Changed  bool                // a count is not that of the last checkpoint

	table *Table
	round uint16
	met   int // readings of running sessions
}

// Judged is a device whose running session is not within its limits, or whose provider
// needs to know what it used.
type Judged struct {
	Device sessions.DeviceID
	Over   bool // the session is
}

// NewCheckpoint begins a pass. counts is memory of an earlier pass to use again.
func (t *Table) NewCheckpoint(now sessions.Instant, counts []sessions.Count) *Checkpoint {
	v := &Checkpoint{Now: now, Read: make(Readings), table: t, round: t.nextRound()}
	v.Counts = sessions.Checkpoint{Boot: now.BootID, At: now.Boot, Spent: counts[:0]}
	return v
}

// nextRound numbers passes and comparisons: an entry notes the last one that met it.
func (t *Table) nextRound() uint16 {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.round++
	return t.round
}

// Scan takes in some readings; they are not kept.
func (v *Checkpoint) Scan(readings []dataplane.Reading) {
	t := v.table
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
		e.round = v.round
		v.met++
		e.rate.observe(r, v.Now.Boot, t.cfg.RateMemory)
		t.see(e, r.Counters.LastSeen, v.Now)
		if !e.withinLimits(r, v.Now.Boot) && v.judge(e, r) {
			v.Read[r.Account] = *r
			continue
		}
		v.count(e, r)
	}
}

// count collects the count of a session that is within its limits.
func (v *Checkpoint) count(e *Entry, r *dataplane.Reading) {
	v.Timed = v.Timed || e.row.kind.Timed()
	spent := r.Counters.Spent()
	if spent > e.row.Since(r.Epoch).Spent {
		v.Counts.Spent = append(v.Counts.Spent, sessions.Count{Account: e.row.account, Spent: spent})
	}
	v.Changed = v.Changed || spent != e.counted
	e.counted = spent
}

// ScanUnread judges the running sessions without a reading, by time alone.
func (v *Checkpoint) ScanUnread() {
	t := v.table
	t.mu.Lock()
	defer t.mu.Unlock()
	if v.met == len(t.byID) {
		return
	}
	for _, e := range t.byID {
		if e.round == v.round {
			continue
		}
		v.Timed = v.Timed || e.row.kind.Timed()
		v.judge(e, nil)
	}
}

// judge collects a session that needs its row.
func (v *Checkpoint) judge(e *Entry, r *dataplane.Reading) (needsRow bool) {
	needsRow, over := e.judge(v.table.cfg, r, v.Now)
	if needsRow {
		v.NeedRow = append(v.NeedRow, Judged{e.row.device, over})
	}
	return needsRow
}

// judge reports whether a running session needs its row written, and whether it is over.
// r may be nil.
func (e *Entry) judge(cfg Config, r *dataplane.Reading, now sessions.Instant) (needsRow, over bool) {
	s := e.row.session()
	a := sessions.Activity{Closed: sessions.LimitMet(s, r), IdleTimeout: cfg.IdleTimeout}
	needsRow = s.Provider != sessions.LocalProvider || // its usage is delivered
		now.WallTrusted && s.Started.Before(dataplane.EarliestClock) || // its start is dated
		a.Closed // the kernel's drops are settled
	if r != nil {
		a.LastSeen = e.lastSeen
		needsRow = needsRow || r.Counters.Spent() < e.row.Since(r.Epoch).Spent // a count that went backwards
	}
	s = sessions.AsOf(s, r, now)
	_, _, over = sessions.NextState(s, a, now)
	return needsRow || over || !s.Meter.Low && sessions.IsLow(s, cfg.LowBalancePercent), over
}

// Judge judges the running session of a device with a reading, nil for none.
func (t *Table) Judge(id sessions.DeviceID, r *dataplane.Reading, now sessions.Instant) (needsRow, over bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e := t.byDevice[id]; e != nil {
		return e.judge(t.cfg, r, now)
	}
	return false, false
}

// Comparison finds the devices whose running session is not in the kernel as it is in the
// table. It keeps nothing of 100,000 sessions but two numbers in their entries. For one
// goroutine.
type Comparison struct {
	table       *Table
	read, whole uint16 // rounds: of those with a reading, of those with a rule besides
}

// Compare begins a comparison.
func (t *Table) Compare() Comparison {
	return Comparison{table: t, read: t.nextRound(), whole: t.nextRound()}
}

// Readings takes in readings: those that do not say less than the row.
func (c Comparison) Readings(readings []dataplane.Reading) {
	c.table.mu.Lock()
	defer c.table.mu.Unlock()
	for i := range readings {
		if e := c.table.of(&readings[i]); e != nil && e.row.Knows(&readings[i]) {
			e.round = c.read
		}
	}
}

// Whole takes in a session whose rule is as it should be.
func (c Comparison) Whole(id sessions.SessionID) {
	c.table.mu.Lock()
	defer c.table.mu.Unlock()
	if e := c.table.byID[id]; e != nil && e.round == c.read {
		e.round = c.whole
	}
}

// Drifted returns the devices that lack a reading or a rule, oldest first.
func (c Comparison) Drifted() []sessions.DeviceID {
	c.table.mu.Lock()
	defer c.table.mu.Unlock()
	var ids []sessions.DeviceID
	for id, e := range c.table.byDevice {
		if e.round != c.whole {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}
