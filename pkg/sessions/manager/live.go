// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"maps"
	"math"
	"slices"
	"sync"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// liveTable remembers the running session of each connected device, so that what is
// due next is known, and what a reading means, without asking the store.
type liveTable struct {
	mu       sync.Mutex
	byDevice map[sessions.DeviceID]*liveEntry
	byID     map[sessions.SessionID]*liveEntry
	places   []*liveEntry // what was found last by Reading.Place
	queue    dueQueue
	wake     chan struct{}
	cfg      Config                         // of the due moments
	broken   map[sessions.DeviceID]struct{} // the kernel did not take their rule
	words    *words                         // of the session that was stored last
}

// liveEntry is a running session. There may be 100,000: it takes as little memory as
// it can, and what a checkpoint looks at of each lies together.
type liveEntry struct {
	left     uint64             // bytes until it becomes low or is used up
	marked   uint64             // count of its last mark
	lastSeen dataplane.Boottime // last packet, at first the start
	due      dataplane.Boottime // when it ends by itself or becomes low; 0: never
	look     look
	place    int32   // in the queue
	bound    [4]byte // IPv4 address of its device
	mac      dataplane.MAC
	round    uint16 // of the last checkpoint or comparison that met it; one in 65,536 is as good
	row      row
	seen     *sightings // of its MAC; nil: none yet
}

// set takes over what the store has of the session.
func (e *liveEntry) set(r row, percent int) {
	e.row = r
	s := r.session()
	e.left = math.MaxUint64
	if !s.Metered() {
		return
	}
	e.left = s.RemainingBytes()
	if percent > 0 && !s.Meter.Low {
		e.left -= min(e.left, sessions.PercentOf(s.Bytes, uint64(percent)))
	}
}

// goesOn reports that neither a reading nor the time says anything of a session but
// that it goes on; false that one has to look closer.
func (e *liveEntry) goesOn(r *dataplane.Reading, now dataplane.Boottime) bool {
	from := e.row.Since(r.Epoch)
	spent := r.Counters.Spent()
	return e.row.plain && spent >= from.Spent && spent-from.Spent < e.left &&
		r.Counters.LimitDrops == from.Drops && (e.due == 0 || now < e.due)
}

func (l *liveTable) init(cfg Config) {
	l.byDevice = make(map[sessions.DeviceID]*liveEntry)
	l.byID = make(map[sessions.SessionID]*liveEntry)
	l.broken = make(map[sessions.DeviceID]struct{})
	l.wake = make(chan struct{}, 1)
	l.cfg = cfg
	l.words = new(words)
}

// apply takes over what a transaction stored. The caller holds Manager.commits, so
// that the order is that of the transactions.
func (l *liveTable) apply(stored []sessions.Session, known []sessions.Device, now sessions.Instant) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range stored {
		e := l.byID[s.ID]
		switch {
		case s.State != sessions.Running && e != nil:
			l.remove(e)
		case s.State == sessions.Running && e != nil && s.Device == e.row.device:
			e.set(l.pack(s), l.cfg.LowBalancePercent)
			l.setDue(e, e.dueAt(l.cfg, now))
		case s.State == sessions.Running:
			if e != nil {
				l.remove(e) // it moved to another device
			}
			e = &liveEntry{lastSeen: now.Boot}
			e.set(l.pack(s), l.cfg.LowBalancePercent)
			l.add(e, now)
		}
	}
	for _, d := range known {
		if e := l.byDevice[d.ID]; e != nil {
			e.mac, e.bound = d.MAC, d.BoundIPv4()
		}
	}
}

func (l *liveTable) add(e *liveEntry, now sessions.Instant) {
	if before := l.byDevice[e.row.device]; before != nil {
		l.remove(before)
	}
	l.byDevice[e.row.device], l.byID[e.row.id] = e, e
	l.setDue(e, e.dueAt(l.cfg, now))
}

func (l *liveTable) remove(e *liveEntry) {
	l.setDue(e, 0)
	delete(l.byID, e.row.id)
	if l.byDevice[e.row.device] == e {
		delete(l.byDevice, e.row.device)
	}
	e.row.id = 0 // not to be found by a place any more
}

// of returns the running session of a reading, nil when there is none. Readings come
// in the order of their places, and to look there is several times faster than a map.
func (l *liveTable) of(r *dataplane.Reading) *liveEntry {
	for len(l.places) <= int(r.Slot) {
		l.places = append(l.places, nil)
	}
	e := l.places[r.Slot]
	if e == nil || e.row.id != sessions.SessionID(r.Account) {
		e = l.byID[sessions.SessionID(r.Account)]
		l.places[r.Slot] = e
	}
	return e
}

// setDue tells who waits when something is due earlier than all before.
func (l *liveTable) setDue(e *liveEntry, at dataplane.Boottime) {
	if at == e.due {
		return
	}
	before := l.queue.first()
	l.queue.set(e, at)
	if first := l.queue.first(); first != 0 && (before == 0 || first < before) {
		select {
		case l.wake <- struct{}{}:
		default:
		}
	}
}

// running returns what a device runs, as of its last transaction, and the device's MAC.
func (l *liveTable) running(id sessions.DeviceID) (sessions.Session, dataplane.MAC, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.byDevice[id]; e != nil {
		return e.row.session(), e.mac, true
	}
	return sessions.Session{}, dataplane.MAC{}, false
}

// session returns a running session and its device's MAC.
func (l *liveTable) session(id sessions.SessionID) (sessions.Session, dataplane.MAC, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.byID[id]; e != nil {
		return e.row.session(), e.mac, true
	}
	return sessions.Session{}, dataplane.MAC{}, false
}

// holder returns the device that runs a provider's session.
func (l *liveTable) holder(provider, token string) (sessions.DeviceID, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, e := range l.byDevice {
		if e.row.words.provider == provider && e.row.words.token == token {
			return id, true
		}
	}
	return 0, false
}

// seen notes the last packet of a running session, and returns the last one of all.
func (l *liveTable) seen(device sessions.DeviceID, at dataplane.Boottime, now sessions.Instant) dataplane.Boottime {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.byDevice[device]
	if e == nil {
		return 0
	}
	l.see(e, at, now)
	return e.lastSeen
}

func (l *liveTable) see(e *liveEntry, at dataplane.Boottime, now sessions.Instant) {
	if at > e.lastSeen {
		e.lastSeen = at
		if l.cfg.IdleTimeout > 0 {
			l.setDue(e, e.dueAt(l.cfg, now))
		}
	}
}

// next returns the earliest moment when something is due, 0 for never.
func (l *liveTable) next() dataplane.Boottime {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.queue.first()
}

// dueBy returns the devices of the running sessions of which something is due.
func (l *liveTable) dueBy(now dataplane.Boottime) []sessions.DeviceID {
	l.mu.Lock()
	defer l.mu.Unlock()
	var due []sessions.DeviceID
	l.queue.until(now, func(e *liveEntry) { due = append(due, e.row.device) })
	return due
}

// postpone says that nothing is due of a device's session before a moment.
func (l *liveTable) postpone(id sessions.DeviceID, at dataplane.Boottime) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e, ok := l.byDevice[id]; ok {
		l.setDue(e, at)
	}
}

// devices returns the devices of all running sessions, oldest first.
func (l *liveTable) devices() []sessions.DeviceID {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Sorted(maps.Keys(l.byDevice))
}

// sessions returns all running sessions.
func (l *liveTable) sessions() []sessions.SessionID {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Collect(maps.Keys(l.byID))
}

func (e *liveEntry) dueAt(cfg Config, now sessions.Instant) dataplane.Boottime {
	s := e.row.session()
	at := earlier(sessions.HandoverAt(s, now), sessions.LowBalanceAt(s, cfg.LowBalancePercent))
	if cfg.IdleTimeout > 0 {
		at = earlier(at, e.lastSeen.Add(cfg.IdleTimeout))
	}
	return at
}

// repair remembers a device whose rule has to be brought in line; repairs returns
// and forgets them.
func (l *liveTable) repair(id sessions.DeviceID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.broken[id] = struct{}{}
}

func (l *liveTable) repairs() []sessions.DeviceID {
	l.mu.Lock()
	defer l.mu.Unlock()
	ids := slices.Sorted(maps.Keys(l.broken))
	clear(l.broken)
	return ids
}

// withExpiry returns the devices whose running session expires by the wall clock.
func (l *liveTable) withExpiry() []sessions.DeviceID {
	l.mu.Lock()
	defer l.mu.Unlock()
	var ids []sessions.DeviceID
	for id, e := range l.byDevice {
		if e.row.expDays != 0 {
			ids = append(ids, id)
		}
	}
	return ids
}

// reckon finds again when things are due, as after a step of the wall clock.
func (l *liveTable) reckon(now sessions.Instant) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.byDevice {
		l.setDue(e, e.dueAt(l.cfg, now))
	}
}

// Due returns the earliest moment when a running session ends by time (deadline,
// expiry, idle time-out) or becomes low; false when there is none. Cheap.
func (m *Manager) Due() (dataplane.Boottime, bool) {
	at := m.live.next()
	return at, at != 0
}

// Wake receives a value when Due has become earlier. It holds one value, and is
// never closed.
func (m *Manager) Wake() <-chan struct{} { return m.live.wake }
