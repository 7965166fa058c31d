// SPDX-License-Identifier: Apache-2.0

package sessions

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
)

// settleState is what Settle remembers from call to call.
type settleState struct {
	linger map[dataplane.Account]dataplane.Boottime // accounts nobody runs, and since when
	offset time.Duration                            // wall clock minus CLOCK_BOOTTIME, to notice a step
	sane   bool
}

// checkpoint is how the last Settle went.
type checkpoint struct {
	mu    sync.Mutex
	began dataplane.Boottime // of everything; 0: not yet
	at    time.Time          // wall clock
	err   error
}

func (c *checkpoint) begin(now dataplane.Boottime) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.began = now
}

// last is when everything was last settled; 0: not yet.
func (c *checkpoint) last() dataplane.Boottime {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.began
}

func (c *checkpoint) set(at time.Time, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at, c.err = at, err
}

func (c *checkpoint) get() (time.Time, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at, c.err
}

// counts are readings by account.
type counts map[dataplane.Account]dataplane.Reading

func (c counts) of(id SessionID) *dataplane.Reading {
	if r, ok := c[id.Account()]; ok {
		return &r
	}
	return nil
}

// Settle debits the readings and the time since the last call, ends what is spent
// or due, starts the next session of each device that has one, and warns of low
// balances; all of it in one transaction. When something is due between two
// checkpoints, only that is settled. To settle the same readings twice does
// nothing twice. Accounts that no session runs on are debited for what came late
// and, once they have been silent for a checkpoint, removed; so readings must not
// be older than the last call.
func (m *Manager) Settle(ctx context.Context, readings []dataplane.Reading) error {
	m.settling.Lock()
	defer m.settling.Unlock()
	read := make(counts, len(readings))
	at := m.clock.Boot()
	for _, r := range readings {
		read[r.Account] = r
		m.rates.observe(r, at)
	}
	if due, few := m.onlyDue(read); few {
		return m.settleDue(ctx, due, read)
	}
	m.checkpoint.begin(m.clock.Boot())
	err := m.settleWith(ctx, SessionFilter{}, read, 0)
	if err == nil {
		m.forget(ctx, read)
		m.repair(ctx)
	}
	m.checkpoint.set(m.clock.Now(), err)
	return err
}

// fewDue is up to how many sessions are settled each in a transaction of its own.
const fewDue = 8

// onlyDue returns the sessions that are due, if they are few and everything was
// settled not long ago: then the others can wait for the checkpoint, and the disk is
// not written for all of them each time that one ends.
func (m *Manager) onlyDue(read counts) ([]Session, bool) {
	now, last := m.now(), m.checkpoint.last()
	if last == 0 || now.boot.Sub(last) >= m.cfg.Checkpoint/2 {
		return nil, false
	}
	due := m.live.dueBy(now, read)
	return due, len(due) > 0 && len(due) <= fewDue
}

func (m *Manager) settleDue(ctx context.Context, due []Session, read counts) error {
	var failed error
	for _, s := range due {
		one := make(counts, 1)
		if r := read.of(s.ID); r != nil {
			one[r.Account] = *r
		}
		failed = errors.Join(failed, m.settleWith(ctx, SessionFilter{Device: s.Device}, one, 0))
	}
	return failed
}

// Ended handles what the kernel noticed: it ends the account's session, unless it
// was topped up meanwhile, and starts the next one. The kernel tells once for each
// limit or deadline; an event that is lost is found by the next Settle.
func (m *Manager) Ended(ctx context.Context, e dataplane.Event) error {
	id := SessionID(e.Account)
	if id <= 0 {
		return nil // a trusted device has no limits
	}
	s, err := m.stored(ctx, id)
	if CodeOf(err) == NotFound || err == nil && s.State != Running {
		return nil
	}
	if err != nil {
		return err
	}
	closed := SessionID(0)
	if e.Kind == dataplane.Exhausted {
		closed = id
	}
	return m.settleRunning(ctx, SessionFilter{Device: s.Device}, closed)
}

// settleRunning settles running sessions with counters read now.
func (m *Manager) settleRunning(ctx context.Context, which SessionFilter, closed SessionID) error {
	running, err := m.runningSessions(ctx, which)
	if err != nil {
		return err
	}
	read := make(counts, len(running))
	for _, s := range running {
		r, found, err := m.read(s.ID.Account())
		if err != nil {
			return err
		}
		if found {
			read[s.ID.Account()] = r
		}
	}
	return m.settleWith(ctx, which, read, closed)
}

// settleWith settles the running sessions that which selects. closed is one whose
// byte limit the kernel reports as reached, or 0; which is its device then.
func (m *Manager) settleWith(ctx context.Context, which SessionFilter, read counts, closed SessionID) error {
	ending, err := m.ending(ctx, which, read, closed)
	if err != nil {
		return err
	}
	unlock := m.locks.lock(ending...)
	defer unlock()
	next, err := m.successors(ctx, ending)
	if err != nil {
		return err
	}
	t := settlement{which: which, read: read, closed: closed, next: next}
	if err := m.commit(ctx, t.run); err != nil {
		return err
	}
	m.follow(ctx, &t)
	return nil
}

// ending predicts whose session is over, so that their locks can be taken before
// the transaction. Whoever is missed by it is settled, and ended by the next call.
func (m *Manager) ending(ctx context.Context, which SessionFilter, read counts, closed SessionID) ([]DeviceID, error) {
	if closed != 0 {
		return []DeviceID{which.Device}, nil
	}
	running, err := m.runningSessions(ctx, which)
	if err != nil {
		return nil, err
	}
	now := m.now()
	var over []DeviceID
	for _, s := range running {
		r := read.of(s.ID)
		w := m.watch(s, r, closed)
		if _, _, ends := judge(settled(s, r, now), w, now); ends {
			over = append(over, s.Device)
		}
	}
	return over, nil
}

// watch gathers what is known of a running session; s is as it was before r.
func (m *Manager) watch(s Session, r *dataplane.Reading, closed SessionID) watch {
	w := watch{closed: s.ID == closed || limitMet(s, r), idle: m.cfg.IdleTimeout}
	if r == nil {
		return w // and silence cannot be told
	}
	m.live.seen(s.Device, r.Counters.LastSeen)
	w.lastSeen = m.live.lastSeen(s.Device)
	return w
}

func (m *Manager) runningSessions(ctx context.Context, which SessionFilter) ([]Session, error) {
	which.States = []State{Running}
	var list []Session
	err := m.store.View(ctx, func(tx Tx) error {
		var err error
		list, err = tx.Sessions(which)
		return err
	})
	return list, err
}

// stored returns a session as it is in the store.
func (m *Manager) stored(ctx context.Context, id SessionID) (Session, error) {
	var s Session
	err := m.store.View(ctx, func(tx Tx) error {
		var err error
		s, err = tx.Session(id)
		return err
	})
	return s, err
}
