// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// quiet is how long an account stays in the kernel after its session stopped and its
// count last changed: packets in flight find it, and are debited to it. The kernel is
// done with them within milliseconds.
const quiet = time.Second

// lingering is an account that no session runs on.
type lingering struct {
	since dataplane.Boottime // that its count is what it is
	epoch uint64
	spent uint64
}

// loose debits what was counted after sessions stopped, by packets that were in
// flight or passed under a grant that was never stored, and removes the accounts that
// nobody has run for long enough. v has all that there are.
func (m *Manager) loose(ctx context.Context, v *survey) error {
	before := m.settle.linger
	m.settle.linger = make(map[dataplane.Account]lingering, len(v.loose))
	inUse := m.staticAccounts()
	var late []dataplane.Reading
	var long []dataplane.Account
	for _, r := range v.loose {
		if inUse[r.Account] {
			m.rates.observe(r, v.now.Boot)
			continue
		}
		l, known := before[r.Account]
		if !known || l.epoch != r.Epoch || l.spent != r.Counters.Spent() {
			l = lingering{since: v.now.Boot, epoch: r.Epoch, spent: r.Counters.Spent()}
			late = append(late, r)
		} else if v.now.Boot.Sub(l.since) >= quiet {
			long = append(long, r.Account)
		}
		m.settle.linger[r.Account] = l
	}
	for some := range slices.Chunk(late, atATime) {
		if err := m.debitLate(ctx, some); err != nil {
			m.settle.linger = before // so that they are new to the next call
			return err
		}
	}
	slices.Sort(long)
	for some := range slices.Chunk(long, atATime) {
		if err := m.forget(context.WithoutCancel(ctx), some); err != nil {
			m.log.Error("unused accounts stay for now", "error", err)
		}
	}
	return nil
}

func (m *Manager) staticAccounts() map[dataplane.Account]bool {
	accounts := make(map[dataplane.Account]bool, len(m.static))
	for _, rule := range m.static {
		accounts[rule.Account] = true
	}
	return accounts
}

// debitLate debits readings to sessions that do not run.
func (m *Manager) debitLate(ctx context.Context, readings []dataplane.Reading) error {
	var news []dataplane.Reading
	err := m.store.View(ctx, func(tx sessions.Tx) error {
		for _, r := range readings {
			s, err := looseSession(tx, r.Account)
			if err != nil {
				return err
			}
			if s != nil && s.Meter.DiffersFrom(r) {
				news = append(news, r)
			}
		}
		return nil
	})
	if err != nil || len(news) == 0 {
		return err
	}
	return m.commit(ctx, func(c *change) error {
		for _, r := range news {
			if err := c.late(r); err != nil {
				return err
			}
		}
		return nil
	})
}

// looseSession returns the session of an account if it exists and does not run.
func looseSession(tx sessions.Tx, a dataplane.Account) (*sessions.Session, error) {
	if sessions.IsTrusted(a) {
		return nil, nil
	}
	s, err := tx.Session(sessions.SessionID(a))
	if sessions.CodeOf(err) == sessions.NotFound || err == nil && s.State == sessions.Running {
		return nil, nil
	}
	return &s, err
}

// late debits a reading to a session that does not run.
func (c *change) late(r dataplane.Reading) error {
	s, err := looseSession(c, r.Account)
	if err != nil || s == nil { // deleted, or started just now from a later reading
		return err
	}
	before := s.Used
	if !sessions.DebitBytes(s, r) || s.Used == before {
		return nil
	}
	if s.State.Final() {
		return c.save(s)
	}
	d, err := c.Device(s.Device)
	if err != nil {
		return err
	}
	return c.rest(d, s)
}

// forget debits what came late, removes accounts, and takes their baselines back, in
// this order: wherever it stops, it can be done again.
func (m *Manager) forget(ctx context.Context, accounts []dataplane.Account) error {
	unlock, accounts, err := m.lockLoose(ctx, accounts)
	if err != nil {
		return err
	}
	defer unlock()
	var last []dataplane.Reading
	for _, a := range accounts {
		r, found, err := m.read(a)
		if err != nil {
			return err
		}
		if found {
			last = append(last, r)
		}
	}
	if err := m.debitLate(ctx, last); err != nil {
		return err
	}
	for _, a := range accounts {
		if err := m.kernel.Forget(a); err != nil {
			return sessions.Errorf(sessions.Unavailable, "the kernel did not remove account %d: %w", a, err)
		}
		delete(m.settle.linger, a)
	}
	return m.commit(ctx, func(c *change) error {
		for _, a := range accounts {
			if err := c.rebase(a); err != nil {
				return err
			}
		}
		return nil
	})
}

// lockLoose locks the devices of accounts, and returns the accounts that no session
// runs on then, and none can be started on: of what went to another device meanwhile
// the lock is not held.
func (m *Manager) lockLoose(ctx context.Context, accounts []dataplane.Account) (unlock func(), still []dataplane.Account, err error) {
	owners := make(map[dataplane.Account]sessions.DeviceID, len(accounts))
	look := func(tx sessions.Tx) error {
		for _, a := range accounts {
			if s, err := looseSession(tx, a); err != nil {
				return err
			} else if s != nil {
				owners[a] = s.Device
			}
		}
		return nil
	}
	if err := m.store.View(ctx, look); err != nil {
		return nil, nil, err
	}
	unlock = m.locks.lock(slices.Collect(maps.Values(owners))...)
	err = m.store.View(ctx, func(tx sessions.Tx) error {
		for _, a := range accounts {
			s, err := tx.Session(sessions.SessionID(a))
			gone := sessions.IsTrusted(a) || sessions.CodeOf(err) == sessions.NotFound
			if err != nil && !gone {
				return err
			}
			if gone || s.State != sessions.Running && s.Device == owners[a] {
				still = append(still, a)
			}
		}
		return nil
	})
	if err != nil {
		unlock()
		return nil, nil, err
	}
	return unlock, still, nil
}

// rebase takes back the baseline of a session whose account is gone.
func (c *change) rebase(a dataplane.Account) error {
	s, err := looseSession(c, a)
	if err != nil || s == nil {
		return err
	}
	s.Meter.Epoch, s.Meter.Spent, s.Meter.Drops = 0, 0, 0
	return c.put(s)
}

// repair brings those devices in line whose rule the kernel did not take, and,
// when the wall clock was set, those whose deadline depends on it.
func (m *Manager) repair(ctx context.Context) {
	ids := m.live.repairs()
	if m.clockWasSet() {
		ids = append(ids, m.live.withExpiry()...)
		m.live.reckon(m.now())
	}
	for _, id := range ids {
		if err := m.enforceLocked(ctx, id); err != nil {
			m.repairLater(id, err)
		}
	}
}

func (m *Manager) enforceLocked(ctx context.Context, id sessions.DeviceID) error {
	defer m.locks.lock(id)()
	return m.enforce(ctx, id)
}

// clockWasSet reports a step of the wall clock since the last call, or that it can
// be believed only now.
func (m *Manager) clockWasSet() bool {
	now := m.now()
	offset := now.Wall.Sub(time.Unix(0, int64(now.Boot)))
	step := (offset - m.settle.offset).Abs()
	changed := step > time.Second || now.WallTrusted != m.settle.sane
	m.settle.offset, m.settle.sane = offset, now.WallTrusted
	return changed
}
