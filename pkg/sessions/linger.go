// SPDX-License-Identifier: Apache-2.0

package sessions

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
)

// quiet is how long an account stays in the kernel after its session stopped, so
// that packets in flight find it and are debited to it.
const quiet = time.Second

// forget removes the accounts of sessions that do not run, at the second Settle
// that sees them so. read is every account that this Settle was given.
func (m *Manager) forget(ctx context.Context, read counts) {
	running, err := m.runningSessions(ctx, SessionFilter{})
	if err != nil {
		m.log.Error("unused accounts stay for now", "error", err)
		return
	}
	for _, a := range m.unused(running, read) {
		if err := m.forgetOne(context.WithoutCancel(ctx), a); err != nil {
			m.log.Error("an unused account stays for now", "account", a, "error", err)
			continue
		}
		delete(m.settle.linger, a)
	}
}

// unused returns the accounts that nobody has run for long enough.
func (m *Manager) unused(running []Session, read counts) []dataplane.Account {
	inUse := make(map[dataplane.Account]bool, len(running)+len(m.static))
	for _, s := range running {
		inUse[s.ID.Account()] = true
	}
	for _, rule := range m.static {
		inUse[rule.Account] = true
	}
	maps.DeleteFunc(m.settle.linger, func(a dataplane.Account, _ dataplane.Boottime) bool {
		_, known := read[a]
		return inUse[a] || !known
	})
	now := m.clock.Boot()
	var long []dataplane.Account
	for a := range read {
		if inUse[a] {
			continue
		}
		since, known := m.settle.linger[a]
		if !known {
			m.settle.linger[a] = now
		} else if now.Sub(since) >= quiet {
			long = append(long, a)
		}
	}
	slices.Sort(long)
	return long
}

// forgetOne debits what came late, removes the account, and takes the baseline
// back, in this order: wherever it stops, it can be done again.
func (m *Manager) forgetOne(ctx context.Context, a dataplane.Account) error {
	id := SessionID(a)
	s, err := m.stored(ctx, id)
	if isTrusted(a) || CodeOf(err) == NotFound {
		return m.kernel.Forget(a)
	}
	if err != nil {
		return err
	}
	defer m.locks.lock(s.Device)()
	if s, err = m.stored(ctx, id); err != nil || s.State == Running {
		return err
	}
	r, found, err := m.read(a)
	if err != nil {
		return err
	}
	if found && (r.Epoch != s.Meter.Epoch || r.Counters.Spent() != s.Meter.Spent) {
		t := settlement{}
		if err := m.commit(ctx, func(c *change) error { return t.lateOne(c, id, r) }); err != nil {
			return err
		}
	}
	if err := m.kernel.Forget(a); err != nil {
		return err
	}
	m.rates.forget(a)
	_, err = m.rebase(ctx, id, dataplane.Reading{})
	return err
}

// repair brings those devices in line whose rule the kernel did not take, and,
// when the wall clock was set, those whose deadline depends on it.
func (m *Manager) repair(ctx context.Context) {
	ids := m.live.repairs()
	if m.clockWasSet() {
		ids = append(ids, m.live.withExpiry()...)
		m.live.reckon()
	}
	for _, id := range ids {
		if err := m.enforceLocked(ctx, id); err != nil {
			m.repairLater(id, err)
		}
	}
}

func (m *Manager) enforceLocked(ctx context.Context, id DeviceID) error {
	defer m.locks.lock(id)()
	return m.enforce(ctx, id)
}

// clockWasSet reports a step of the wall clock since the last call, or that it can
// be believed only now.
func (m *Manager) clockWasSet() bool {
	now := m.now()
	offset := now.wall.Sub(time.Unix(0, int64(now.boot)))
	step := (offset - m.settle.offset).Abs()
	changed := step > time.Second || now.sane != m.settle.sane
	m.settle.offset, m.settle.sane = offset, now.sane
	return changed
}
