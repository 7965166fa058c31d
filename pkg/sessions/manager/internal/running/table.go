// SPDX-License-Identifier: Apache-2.0

package running

import (
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// Table remembers the running session of each connected device, so that what is
// due next is known, and what a reading means, without asking the store.
type Table struct {
	Trusted Rates // of trusted devices, which run no session

	cfg  Config
	wake chan struct{}

	mu       sync.Mutex // a leaf; held for a batch of readings at most
	byDevice map[sessions.DeviceID]*Entry
	index
	queue    dueQueue
	round    uint16    // of the last checkpoint or comparison
	interned *interned // of the session that was stored last
}

// Config is what the table takes from the agent's configuration.
type Config struct {
	LowBalancePercent int           // session.low is due when this share is left; 0 never
	IdleTimeout       time.Duration // 0: none
	RateMemory        time.Duration // a sample older than this says nothing of the current rate
}

// New returns an empty table.
func New(cfg Config) *Table {
	return &Table{
		Trusted: Rates{memory: cfg.RateMemory},
		cfg:     cfg, wake: make(chan struct{}, 1), interned: new(interned),
		byDevice: make(map[sessions.DeviceID]*Entry),
		index:    index{byID: make(map[sessions.SessionID]*Entry)},
	}
}

// Entry is a running session. There may be 100,000: it takes as little memory as
// it can, and what a checkpoint looks at of each lies together.
type Entry struct {
	bytesLeft uint64             // bytes until it becomes low or is used up
	counted   uint64             // count of its last mark
	lastSeen  dataplane.Boottime // last packet from the device, at first the start
	due       dataplane.Boottime // when it ends by itself or becomes low; 0: never
	rate      rate
	heapIndex int32   // in the queue
	bound     [4]byte // IPv4 address of its device
	mac       dataplane.MAC
	round     uint16 // of the last checkpoint or comparison that met it; one in 65,536 is as good
	row       compactSession
	seen      *history // of its MAC; nil: none yet
}

// set takes over what the store has of the session.
func (e *Entry) set(r compactSession, percent int) {
	e.row = r
	s := r.session()
	e.bytesLeft = math.MaxUint64
	if !s.Type.Metered() {
		return
	}
	e.bytesLeft = s.RemainingBytes()
	if percent > 0 && !s.Meter.Low {
		e.bytesLeft -= min(e.bytesLeft, sessions.PercentOf(s.Bytes, uint64(percent)))
	}
}

// withinLimits reports that neither a reading nor the time says anything of a session but
// but that it is within its limits; false: it has to be judged.
func (e *Entry) withinLimits(r *dataplane.Reading, now dataplane.Boottime) bool {
	from := e.row.Since(r.Epoch)
	spent := r.Counters.Spent()
	return e.row.plain && spent >= from.Spent && spent-from.Spent < e.bytesLeft &&
		r.Counters.LimitDrops == from.Drops && (e.due == 0 || now < e.due)
}

// Apply takes over what a transaction stored. The caller holds Manager.commits, so
// that the order is that of the transactions.
func (t *Table) Apply(stored []sessions.Session, known []sessions.Device, now sessions.Instant) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range stored {
		e := t.byID[s.ID]
		switch {
		case s.State != sessions.Running && e != nil:
			t.remove(e)
		case s.State == sessions.Running && e != nil && s.Device == e.row.device:
			e.set(compact(s, &t.interned), t.cfg.LowBalancePercent)
			t.setDue(e, e.dueAt(t.cfg, now))
		case s.State == sessions.Running:
			if e != nil {
				t.remove(e) // it moved to another device
			}
			e = &Entry{lastSeen: now.Boot}
			e.set(compact(s, &t.interned), t.cfg.LowBalancePercent)
			t.add(e, now)
		}
	}
	for _, d := range known {
		if e := t.byDevice[d.ID]; e != nil {
			e.mac, e.bound = d.MAC, d.BoundIPv4()
		}
	}
}

func (t *Table) add(e *Entry, now sessions.Instant) {
	if before := t.byDevice[e.row.device]; before != nil {
		t.remove(before)
	}
	t.byDevice[e.row.device], t.byID[e.row.id()] = e, e
	t.setDue(e, e.dueAt(t.cfg, now))
}

func (t *Table) remove(e *Entry) {
	t.setDue(e, 0)
	delete(t.byID, e.row.id())
	if t.byDevice[e.row.device] == e {
		delete(t.byDevice, e.row.device)
	}
	e.row.account = 0 // not to be found by a place any more
}

// index finds running sessions.
type index struct {
	byID    map[sessions.SessionID]*Entry
	byPlace []*Entry // the entry found last at Reading.Slot
}

// of returns the running session of a reading, nil when there is none. Readings come
// in the order of their places, and to look there is several times faster than a map.
func (t *index) of(r *dataplane.Reading) *Entry {
	for len(t.byPlace) <= int(r.Slot) {
		t.byPlace = append(t.byPlace, nil)
	}
	e := t.byPlace[r.Slot]
	if e == nil || e.row.account != r.Account {
		e = t.byAccount(r.Account)
		t.byPlace[r.Slot] = e
	}
	return e
}

// byAccount returns the running session of an account, nil when there is none.
func (t *index) byAccount(a dataplane.Account) *Entry {
	if e := t.byID[sessions.SessionOf(a)]; e != nil && e.row.account == a {
		return e
	}
	return nil
}

// setDue wakes the meter when something is due earlier than all before.
func (t *Table) setDue(e *Entry, at dataplane.Boottime) {
	if at == e.due {
		return
	}
	before := t.queue.first()
	t.queue.set(e, at)
	if first := t.queue.first(); first != 0 && (before == 0 || first < before) {
		select {
		case t.wake <- struct{}{}:
		default:
		}
	}
}

// Snapshot is a running session with what the kernel's rule has of its device.
type Snapshot struct {
	sessions.Session
	MAC   dataplane.MAC
	Bound [4]byte // IPv4 address that the device is bound to; zero: any

	entry *Entry
}

func (e *Entry) snapshot() Snapshot { return Snapshot{e.row.session(), e.mac, e.bound, e} }

// StillRuns reports whether the session has not stopped since, not even for an instant. A
// reading from after the snapshot is of the account that it counts to then: that of one that
// stopped may have been removed, and made anew.
func (s Snapshot) StillRuns(t *Table) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.byID[s.ID] == s.entry
}

// Running returns what a device runs, as of its last transaction.
func (t *Table) Running(id sessions.DeviceID) (Snapshot, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e := t.byDevice[id]; e != nil {
		return e.snapshot(), true
	}
	return Snapshot{}, false
}

// Session returns a running session.
func (t *Table) Session(id sessions.SessionID) (Snapshot, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e := t.byID[id]; e != nil {
		return e.snapshot(), true
	}
	return Snapshot{}, false
}

// Account returns the running session of an account.
func (t *Table) Account(a dataplane.Account) (Snapshot, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e := t.byAccount(a); e != nil {
		return e.snapshot(), true
	}
	return Snapshot{}, false
}

// Holder returns the device that runs a provider's session.
func (t *Table) Holder(provider, token string) (sessions.DeviceID, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, e := range t.byDevice {
		if e.row.interned.provider == provider && e.row.interned.token == token {
			return id, true
		}
	}
	return 0, false
}

// Seen notes the last packet from the device of a running session, and returns the last one of all.
func (t *Table) Seen(device sessions.DeviceID, at dataplane.Boottime, now sessions.Instant) dataplane.Boottime {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.byDevice[device]
	if e == nil {
		return 0
	}
	t.see(e, at, now)
	return e.lastSeen
}

func (t *Table) see(e *Entry, at dataplane.Boottime, now sessions.Instant) {
	if at > e.lastSeen {
		e.lastSeen = at
		if t.cfg.IdleTimeout > 0 {
			t.setDue(e, e.dueAt(t.cfg, now))
		}
	}
}

// Next returns the earliest time when something is due, 0 for never.
func (t *Table) Next() dataplane.Boottime {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.queue.first()
}

// DueBy returns the devices of the running sessions of which something is due.
func (t *Table) DueBy(now dataplane.Boottime) []sessions.DeviceID {
	t.mu.Lock()
	defer t.mu.Unlock()
	var due []sessions.DeviceID
	t.queue.until(now, func(e *Entry) { due = append(due, e.row.device) })
	return due
}

// Postpone sets that nothing is due of a device's session before a time.
func (t *Table) Postpone(id sessions.DeviceID, at dataplane.Boottime) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e, ok := t.byDevice[id]; ok {
		t.setDue(e, at)
	}
}

// Devices returns the devices of all running sessions, oldest first.
func (t *Table) Devices() []sessions.DeviceID {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Sorted(maps.Keys(t.byDevice))
}

func (e *Entry) dueAt(cfg Config, now sessions.Instant) dataplane.Boottime {
	s := e.row.session()
	at := earlier(sessions.HandoverAt(s, now), sessions.LowBalanceAt(s, cfg.LowBalancePercent))
	if cfg.IdleTimeout > 0 {
		at = earlier(at, e.lastSeen.Add(cfg.IdleTimeout))
	}
	return at
}

// WithExpiry returns the devices whose running session expires by the wall clock.
func (t *Table) WithExpiry() []sessions.DeviceID {
	t.mu.Lock()
	defer t.mu.Unlock()
	var ids []sessions.DeviceID
	for id, e := range t.byDevice {
		if e.row.expDays != 0 {
			ids = append(ids, id)
		}
	}
	return ids
}

// Recompute finds again when things are due, as after a step of the wall clock.
func (t *Table) Recompute(now sessions.Instant) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, e := range t.byDevice {
		t.setDue(e, e.dueAt(t.cfg, now))
	}
}

// Wake receives a value when Next has become earlier. It holds one value, and is never
// closed.
func (t *Table) Wake() <-chan struct{} { return t.wake }
