// SPDX-License-Identifier: Apache-2.0

package sessions

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
)

// liveTable remembers the running session of each connected device, so that what
// is due next is known without asking the store.
type liveTable struct {
	mu      sync.Mutex
	entries map[DeviceID]*liveEntry
	stale   bool // due has to be found again
	due     dataplane.Boottime
	wake    chan struct{}
	percent int
	idle    time.Duration
	broken  map[DeviceID]struct{} // the kernel did not take their rule
}

type liveEntry struct {
	session  Session
	lastSeen dataplane.Boottime // last packet, at first the start
}

func (l *liveTable) init(cfg Config) {
	l.entries = make(map[DeviceID]*liveEntry)
	l.broken = make(map[DeviceID]struct{})
	l.wake = make(chan struct{}, 1)
	l.percent, l.idle = cfg.LowBalancePercent, cfg.IdleTimeout
}

// apply takes over what a transaction stored. The caller holds Manager.commits, so
// that the order is that of the transactions.
func (l *liveTable) apply(stored []Session, now moment) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range stored {
		e := l.entries[s.Device]
		switch {
		case s.State == Running && e != nil && e.session.ID == s.ID:
			before := e.dueAt(l, now)
			e.session = s
			l.moved(before, e.dueAt(l, now))
		case s.State == Running:
			e = &liveEntry{session: s, lastSeen: now.boot}
			l.entries[s.Device] = e
			l.moved(0, e.dueAt(l, now))
		case e != nil && e.session.ID == s.ID:
			delete(l.entries, s.Device)
			l.moved(e.dueAt(l, now), 0)
		}
	}
}

// running returns what a device runs, as of its last transaction.
func (l *liveTable) running(id DeviceID) (Session, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.entries[id]; e != nil {
		return e.session, true
	}
	return Session{}, false
}

// moved says that something is due at another moment than before.
func (l *liveTable) moved(from, to dataplane.Boottime) {
	if from == to {
		return
	}
	l.stale = true
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// seen notes the last packet of running sessions.
func (l *liveTable) seen(device DeviceID, at dataplane.Boottime) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.entries[device]; e != nil && at > e.lastSeen {
		e.lastSeen = at
		l.stale = l.stale || l.idle > 0
	}
}

func (l *liveTable) lastSeen(device DeviceID) dataplane.Boottime {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.entries[device]; e != nil {
		return e.lastSeen
	}
	return 0
}

// next returns the earliest moment when something ends, 0 for never.
func (l *liveTable) next(now moment) dataplane.Boottime {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.stale {
		return l.due
	}
	l.due, l.stale = 0, false
	for _, e := range l.entries {
		l.due = earlier(l.due, e.dueAt(l, now))
	}
	return l.due
}

// dueBy returns the running sessions of which something is due, or that are over by
// their counts.
func (l *liveTable) dueBy(now moment, read counts) []Session {
	l.mu.Lock()
	defer l.mu.Unlock()
	var due []Session
	for _, e := range l.entries {
		at := e.dueAt(l, now)
		if at != 0 && at <= now.boot || overBy(e.session, read.of(e.session.ID), now) {
			due = append(due, e.session)
		}
	}
	return due
}

func (e *liveEntry) dueAt(l *liveTable, now moment) dataplane.Boottime {
	at := earlier(deadline(e.session, now), lowAt(e.session, l.percent))
	if l.idle > 0 {
		at = earlier(at, e.lastSeen.Add(l.idle))
	}
	return at
}

// repair remembers a device whose rule has to be brought in line; repairs returns
// and forgets them.
func (l *liveTable) repair(id DeviceID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.broken[id] = struct{}{}
}

func (l *liveTable) repairs() []DeviceID {
	l.mu.Lock()
	defer l.mu.Unlock()
	ids := slices.Sorted(maps.Keys(l.broken))
	clear(l.broken)
	return ids
}

// earlier is the smaller of two moments of which 0 means never.
func earlier(a, b dataplane.Boottime) dataplane.Boottime {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// Due returns the earliest moment when a running session ends by time (deadline,
// expiry, idle time-out) or becomes low, and at the latest when all are to be
// settled again, a checkpoint after the last time; false when there is none. Cheap.
func (m *Manager) Due() (dataplane.Boottime, bool) {
	at := m.live.next(m.now())
	if last := m.checkpoint.last(); last != 0 && m.live.any() {
		whole := last.Add(m.cfg.Checkpoint)
		if at == 0 || whole < at {
			at = whole
		}
	}
	return at, at != 0
}

// any reports whether a session runs.
func (l *liveTable) any() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.entries) > 0
}

// Wake receives a value when Due may have moved. It holds one value, and is never
// closed.
func (m *Manager) Wake() <-chan struct{} { return m.live.wake }

// withExpiry returns the devices whose running session expires by the wall clock.
func (l *liveTable) withExpiry() []DeviceID {
	l.mu.Lock()
	defer l.mu.Unlock()
	var ids []DeviceID
	for id, e := range l.entries {
		if e.session.ExpDays != nil {
			ids = append(ids, id)
		}
	}
	return ids
}

// reckon has Due found again, as after a step of the wall clock.
func (l *liveTable) reckon() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stale = true
}
