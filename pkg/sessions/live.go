// SPDX-License-Identifier: Apache-2.0

package sessions

import (
	"maps"
	"math"
	"slices"
	"sync"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
)

// liveTable remembers the running session of each connected device, so that what is
// due next is known, and what a reading means, without asking the store.
type liveTable struct {
	mu       sync.Mutex
	byDevice map[DeviceID]*liveEntry
	byID     map[SessionID]*liveEntry
	queue    dueQueue
	wake     chan struct{}
	cfg      Config                // of the due moments
	broken   map[DeviceID]struct{} // the kernel did not take their rule
}

// liveEntry is a running session. What a checkpoint looks at of each comes first, so
// that it fits two lines of the processor's cache.
type liveEntry struct {
	glance   glance
	marked   uint64             // count of its last mark
	round    uint64             // of the last checkpoint that had a reading of it
	lastSeen dataplane.Boottime // last packet, at first the start
	due      dataplane.Boottime // when it ends by itself or becomes low; 0: never
	look     look
	place    int // in the queue
	mac      dataplane.MAC
	bound    [4]byte    // IPv4 address of its device
	seen     *sightings // of its MAC; nil: none yet
	session  Session    // its row
}

// glance is enough to see that a session simply goes on.
type glance struct {
	epoch uint64
	from  uint64 // the baseline's count
	drops uint64 // and its drops
	left  uint64 // bytes until it becomes low or is used up
	plain bool   // nothing else is to be said of it
	timed bool
}

func glanceOf(s Session, percent int) glance {
	g := glance{
		epoch: s.Meter.Epoch, from: s.Meter.Spent, drops: s.Meter.Drops, left: math.MaxUint64,
		plain: s.Provider == LocalProvider && !s.Started.Before(earliest), timed: s.timed(),
	}
	if s.metered() {
		g.left = s.RemainingBytes()
		if percent > 0 && !s.Meter.Low {
			g.left -= min(g.left, percentOf(s.Bytes, uint64(percent)))
		}
	}
	return g
}

// goesOn reports that neither a reading nor the time says anything of a session but
// that it goes on; false that one has to look closer.
func (e *liveEntry) goesOn(r *dataplane.Reading, now dataplane.Boottime) bool {
	from, drops := e.glance.baseline(r.Epoch)
	spent := r.Counters.Spent()
	return e.glance.plain && spent >= from && spent-from < e.glance.left &&
		r.Counters.LimitDrops == drops && (e.due == 0 || now < e.due)
}

// baseline is that for a reading of an epoch.
func (g *glance) baseline(epoch uint64) (from, drops uint64) {
	if epoch != g.epoch {
		return 0, 0
	}
	return g.from, g.drops
}

func (l *liveTable) init(cfg Config) {
	l.byDevice = make(map[DeviceID]*liveEntry)
	l.byID = make(map[SessionID]*liveEntry)
	l.broken = make(map[DeviceID]struct{})
	l.wake = make(chan struct{}, 1)
	l.cfg = cfg
}

// apply takes over what a transaction stored. The caller holds Manager.commits, so
// that the order is that of the transactions.
func (l *liveTable) apply(stored []Session, known []Device, now moment) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range stored {
		s = lean(s, now)
		e := l.byID[s.ID]
		switch {
		case s.State != Running && e != nil:
			l.remove(e)
		case s.State == Running && e != nil && s.Device != e.session.Device:
			l.remove(e)
			l.add(&liveEntry{session: s, glance: glanceOf(s, l.cfg.LowBalancePercent), lastSeen: now.boot}, now)
		case s.State == Running && e != nil:
			e.session, e.glance = s, glanceOf(s, l.cfg.LowBalancePercent)
			l.setDue(e, e.dueAt(l.cfg, now))
		case s.State == Running:
			l.add(&liveEntry{session: s, glance: glanceOf(s, l.cfg.LowBalancePercent), lastSeen: now.boot}, now)
		}
	}
	for _, d := range known {
		if e := l.byDevice[d.ID]; e != nil {
			e.mac, e.bound = d.MAC, d.bound()
		}
	}
}

// lean has a session share the words that nearly all running ones have: of many, each
// with its own copies is a good part of the memory.
func lean(s Session, now moment) Session {
	if s.State == Running {
		s.State = Running
	}
	if s.Provider == LocalProvider {
		s.Provider = LocalProvider
	}
	if s.Meter.Boot == now.bootID {
		s.Meter.Boot = now.bootID
	}
	return s
}

func (l *liveTable) add(e *liveEntry, now moment) {
	if before := l.byDevice[e.session.Device]; before != nil {
		l.remove(before)
	}
	l.byDevice[e.session.Device], l.byID[e.session.ID] = e, e
	l.setDue(e, e.dueAt(l.cfg, now))
}

func (l *liveTable) remove(e *liveEntry) {
	l.setDue(e, 0)
	delete(l.byID, e.session.ID)
	if l.byDevice[e.session.Device] == e {
		delete(l.byDevice, e.session.Device)
	}
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

// running returns what a device runs, as of its last transaction.
func (l *liveTable) running(id DeviceID) (Session, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.byDevice[id]; e != nil {
		return e.session, true
	}
	return Session{}, false
}

// session returns a running session and its device's MAC.
func (l *liveTable) session(id SessionID) (Session, dataplane.MAC, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.byID[id]; e != nil {
		return e.session, e.mac, true
	}
	return Session{}, dataplane.MAC{}, false
}

// holder returns the device that runs a provider's session.
func (l *liveTable) holder(provider, token string) (DeviceID, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, e := range l.byDevice {
		if e.session.Provider == provider && e.session.Token == token {
			return id, true
		}
	}
	return 0, false
}

// seen notes the last packet of a running session, and returns the last one of all.
func (l *liveTable) seen(device DeviceID, at dataplane.Boottime, now moment) dataplane.Boottime {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.byDevice[device]
	if e == nil {
		return 0
	}
	l.see(e, at, now)
	return e.lastSeen
}

func (l *liveTable) see(e *liveEntry, at dataplane.Boottime, now moment) {
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
func (l *liveTable) dueBy(now dataplane.Boottime) []DeviceID {
	l.mu.Lock()
	defer l.mu.Unlock()
	var due []DeviceID
	l.queue.until(now, func(e *liveEntry) { due = append(due, e.session.Device) })
	return due
}

// postpone says that nothing is due of a device's session before a moment.
func (l *liveTable) postpone(id DeviceID, at dataplane.Boottime) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e, ok := l.byDevice[id]; ok {
		l.setDue(e, at)
	}
}

// devices returns the devices of all running sessions.
func (l *liveTable) devices() []DeviceID {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Collect(maps.Keys(l.byDevice))
}

func (e *liveEntry) dueAt(cfg Config, now moment) dataplane.Boottime {
	at := earlier(handover(e.session, now), lowAt(e.session, cfg.LowBalancePercent))
	if cfg.IdleTimeout > 0 {
		at = earlier(at, e.lastSeen.Add(cfg.IdleTimeout))
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

// withExpiry returns the devices whose running session expires by the wall clock.
func (l *liveTable) withExpiry() []DeviceID {
	l.mu.Lock()
	defer l.mu.Unlock()
	var ids []DeviceID
	for id, e := range l.byDevice {
		if e.session.ExpDays != nil {
			ids = append(ids, id)
		}
	}
	return ids
}

// reckon finds again when things are due, as after a step of the wall clock.
func (l *liveTable) reckon(now moment) {
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
