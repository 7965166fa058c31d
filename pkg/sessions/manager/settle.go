// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"context"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// settleState is what Settle remembers from call to call.
type settleState struct {
	linger map[dataplane.Account]lingering // accounts nobody runs
	marks  []sessions.Count                // used again by the next survey
	round  uint16                          // of the last survey or comparison
	known  time.Time                       // wall time of the last marks
	offset time.Duration                   // wall clock minus CLOCK_BOOTTIME, to notice a step
	sane   bool
}

// checkpoint is how the last Settle went.
type checkpoint struct {
	mu  sync.Mutex
	at  time.Time // wall clock
	err error
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

func (c counts) of(id sessions.SessionID) *dataplane.Reading {
	if r, ok := c[id.Account()]; ok {
		return &r
	}
	return nil
}

// Settle is a checkpoint: it debits the readings and the time since the last one. What
// simply goes on is marked, at once for all; what is spent or due is ended, the next
// session of each such device that has one is started, and low balances are warned of.
// To settle the same readings twice does nothing twice. Accounts that no session runs
// on are debited for what came late and, once they have been silent for a while,
// removed; so readings must not be older than the last call.
//
// What is handed on in one turn of readings is not kept.
func (m *Manager) Settle(ctx context.Context, readings iter.Seq[[]dataplane.Reading]) error {
	m.settling.Lock()
	defer m.settling.Unlock()
	err := m.settleAll(ctx, readings)
	if err == nil {
		m.repair(ctx)
	}
	m.checkpoint.set(m.clock.Now(), err)
	return err
}

func (m *Manager) settleAll(ctx context.Context, readings iter.Seq[[]dataplane.Reading]) error {
	v := m.survey(readings)
	for some := range slices.Chunk(v.closer, atATime) {
		if err := m.settleWith(ctx, some, v.read, 0); err != nil {
			return err
		}
	}
	if err := m.mark(ctx, v); err != nil {
		return err
	}
	return m.loose(ctx, v)
}

// SettleDue settles what is due by itself now, with counters that it reads.
func (m *Manager) SettleDue(ctx context.Context) error {
	due, err := m.handOver(ctx, m.live.dueBy(m.clock.Boot()))
	if err != nil {
		return err
	}
	for some := range slices.Chunk(due, atATime) {
		if err := m.settleRunning(ctx, some, 0); err != nil {
			return err
		}
	}
	return nil
}

// Ended handles what the kernel noticed: it ends the account's session, unless it
// was topped up meanwhile, and starts the next one. The kernel tells once for each
// limit or deadline; an event that is lost is found by the next Settle.
func (m *Manager) Ended(ctx context.Context, e dataplane.Event) error {
	id := sessions.SessionID(e.Account)
	if id <= 0 {
		return nil // a trusted device has no limits
	}
	s, err := m.stored(ctx, id)
	if sessions.CodeOf(err) == sessions.NotFound || err == nil && s.State != sessions.Running {
		return nil
	}
	if err != nil {
		return err
	}
	closed := sessions.SessionID(0)
	if e.Kind == dataplane.Exhausted {
		closed = id
	}
	return m.settleRunning(ctx, []sessions.DeviceID{s.Device}, closed)
}

// settleRunning settles the running sessions of devices, with counters read now.
func (m *Manager) settleRunning(ctx context.Context, devices []sessions.DeviceID, closed sessions.SessionID) error {
	running, err := m.runningOf(ctx, devices)
	if err != nil {
		return err
	}
	read, err := m.countsOf(running)
	if err != nil {
		return err
	}
	return m.settleWith(ctx, devices, read, closed)
}

// settleWith settles the running sessions of devices in one transaction. closed is one
// whose byte limit the kernel reports as reached, or 0; its device is the only one then.
func (m *Manager) settleWith(ctx context.Context, devices []sessions.DeviceID, read counts, closed sessions.SessionID) error {
	if len(devices) == 0 {
		return nil
	}
	ending, err := m.ending(ctx, devices, read, closed)
	if err != nil {
		return err
	}
	unlock := m.locks.lock(ending...)
	defer unlock()
	next, err := m.successors(ctx, ending)
	if err != nil {
		return err
	}
	t := settlement{devices: devices, read: read, closed: closed, next: next}
	if err := m.commit(ctx, t.run); err != nil {
		return err
	}
	m.follow(ctx, &t)
	return nil
}

// ending predicts whose session is over, so that their locks can be taken before
// the transaction. Whoever is missed by it is settled, and ended by the next call.
func (m *Manager) ending(ctx context.Context, devices []sessions.DeviceID, read counts, closed sessions.SessionID) ([]sessions.DeviceID, error) {
	if closed != 0 {
		return devices, nil
	}
	running, err := m.runningOf(ctx, devices)
	if err != nil {
		return nil, err
	}
	now := m.now()
	var over []sessions.DeviceID
	for _, s := range running {
		r := read.of(s.ID)
		w := m.watch(s, r, closed, now)
		if _, _, ends := sessions.NextState(sessions.AsOf(s, r, now), w, now); ends {
			over = append(over, s.Device)
		}
	}
	return over, nil
}

// watch gathers what is known of a running session; s is as it was before r.
func (m *Manager) watch(s sessions.Session, r *dataplane.Reading, closed sessions.SessionID, now sessions.Instant) sessions.Activity {
	w := sessions.Activity{Closed: s.ID == closed || sessions.LimitMet(s, r), IdleTimeout: m.cfg.IdleTimeout}
	if r == nil {
		return w // and silence cannot be told
	}
	w.LastSeen = m.live.seen(s.Device, r.Counters.LastSeen, now)
	return w
}

// runningOf returns what devices run.
func (m *Manager) runningOf(ctx context.Context, devices []sessions.DeviceID) ([]sessions.Session, error) {
	var list []sessions.Session
	err := m.store.View(ctx, func(tx sessions.Tx) error {
		var err error
		list, err = tx.RunningOf(devices)
		return err
	})
	return list, err
}

// stored returns a session as it is in the store.
func (m *Manager) stored(ctx context.Context, id sessions.SessionID) (sessions.Session, error) {
	var s sessions.Session
	err := m.store.View(ctx, func(tx sessions.Tx) error {
		var err error
		s, err = tx.Session(id)
		return err
	})
	return s, err
}
