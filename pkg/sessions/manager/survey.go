// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"context"
	"iter"
	"slices"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// survey is a checkpoint's look at all readings. Most running sessions simply go on:
// they get a mark. Only those of which more is to be said have their row written.
type survey struct {
	now    sessions.Instant
	marks  sessions.Checkpoint
	closer []sessions.DeviceID // whose session ended, became low, has a provider …
	read   counts              // of those
	loose  []dataplane.Reading // of accounts that no session runs on

	met     int  // readings of running sessions
	timed   bool // a session runs whose time is used
	changed bool // a mark is not what it was
}

// atATime is how many sessions are looked at, or settled, before others have a turn.
const atATime = 256

// survey looks at readings of everything.
func (m *Manager) survey(readings iter.Seq[[]dataplane.Reading]) *survey {
	v := &survey{now: m.now(), read: make(counts)}
	v.marks = sessions.Checkpoint{Boot: v.now.BootID, At: v.now.Boot, Spent: m.settle.marks[:0], Known: m.trust.at(v.now.Boot)}
	m.settle.round++
	for some := range readings {
		m.live.survey(v, some, m.settle.round, m.rates.memory)
	}
	m.live.unread(v, m.settle.round)
	m.settle.marks = v.marks.Spent
	return v
}

func (l *liveTable) survey(v *survey, readings []dataplane.Reading, round uint16, memory time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range readings {
		r := &readings[i]
		v.marks.Epoch = r.Epoch
		e := l.of(r)
		if e == nil {
			v.loose = append(v.loose, *r)
			continue
		}
		e.round = round
		v.met++
		e.look.observe(r, v.now.Boot, memory)
		l.see(e, r.Counters.LastSeen, v.now)
		if !e.goesOn(r, v.now.Boot) && e.needsRow(l.cfg, r, v.now) {
			v.closer = append(v.closer, e.row.device)
			v.read[r.Account] = *r
			continue
		}
		v.mark(e, r)
	}
}

// mark notes how far a session came that goes on.
func (v *survey) mark(e *liveEntry, r *dataplane.Reading) {
	v.timed = v.timed || e.row.kind.Timed()
	spent := r.Counters.Spent()
	if spent > e.row.Since(r.Epoch).Spent {
		v.marks.Spent = append(v.marks.Spent, sessions.Count{Session: e.row.id, Spent: spent})
	}
	v.changed = v.changed || spent != e.marked
	e.marked = spent
}

// unread looks at the running sessions that have no reading, by time alone.
func (l *liveTable) unread(v *survey, round uint16) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if v.met == len(l.byID) {
		return
	}
	for _, e := range l.byID {
		if e.round == round {
			continue
		}
		v.timed = v.timed || e.row.kind.Timed()
		if e.needsRow(l.cfg, nil, v.now) {
			v.closer = append(v.closer, e.row.device)
		}
	}
}

// needsRow reports that a running session does not simply go on. r may be nil.
func (e *liveEntry) needsRow(cfg Config, r *dataplane.Reading, now sessions.Instant) bool {
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

// settleOver ends what is over and was not noticed, with counters read now.
func (m *Manager) settleOver(ctx context.Context) error {
	for some := range slices.Chunk(m.live.devices(), atATime) {
		var closer []sessions.DeviceID
		read := make(counts)
		now := m.now()
		for _, id := range some {
			s, _, running := m.live.running(id)
			if !running {
				continue
			}
			r, found, err := m.read(s.ID.Account())
			if err != nil {
				return err
			}
			if m.live.needsRow(s.ID, m.look(r, found), now) {
				closer = append(closer, id)
				if found {
					read[r.Account] = r
				}
			}
		}
		if err := m.settleWith(ctx, closer, read, 0); err != nil {
			return err
		}
	}
	return nil
}

func (l *liveTable) needsRow(id sessions.SessionID, r *dataplane.Reading, now sessions.Instant) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.byID[id]
	return e != nil && e.needsRow(l.cfg, r, now)
}

// knownEvery is how often the wall time is written where nothing else is to be.
const knownEvery = time.Hour

// mark writes the marks, when they say something that the last ones did not.
func (m *Manager) mark(ctx context.Context, v *survey) error {
	stale := v.marks.Known.Sub(m.settle.known).Abs() >= knownEvery
	if !v.timed && !v.changed && !stale {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	m.settle.known = v.marks.Known
	return m.store.PutCheckpoint(v.marks)
}
