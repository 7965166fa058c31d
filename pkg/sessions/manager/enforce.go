// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"context"
	"errors"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// read returns the counters of an account; found is false when the kernel has no
// such account, as before its first grant and after a reboot.
func (m *Manager) read(a dataplane.Account) (r dataplane.Reading, found bool, err error) {
	r, err = m.kernel.Read(a)
	if errors.Is(err, dataplane.ErrNoAccount) {
		return dataplane.Reading{}, false, nil
	}
	if err != nil {
		return r, false, sessions.Errorf(sessions.Unavailable, "the kernel's count of session %d cannot be read: %w", a, err)
	}
	return r, true, nil
}

// countsOf reads the accounts of sessions, as far as the kernel has them.
func (m *Manager) countsOf(list []sessions.Session) (counts, error) {
	read := make(counts, len(list))
	for _, s := range list {
		r, found, err := m.read(s.ID.Account())
		if err != nil {
			return nil, err
		}
		if found {
			read[r.Account] = r
		}
	}
	return read, nil
}

// refresh reads the account of a session that is about to be granted. A baseline
// that this account cannot have reached is of an earlier one of the same name,
// removed since: it is taken back before the account counts again, for otherwise
// the new count would hide below it. The caller holds the device's lock.
func (m *Manager) refresh(ctx context.Context, s sessions.Session) (sessions.Session, *dataplane.Reading, error) {
	r, found, err := m.read(s.ID.Account())
	if err != nil {
		return s, nil, err
	}
	gone := !found && s.Meter.Epoch != 0
	behind := found && r.Epoch == s.Meter.Epoch && r.Counters.Spent() < s.Meter.Spent
	if gone || behind {
		if s, err = m.rebase(ctx, s.ID, r); err != nil {
			return s, nil, err
		}
	}
	if !found {
		return s, nil, nil
	}
	return s, &r, nil
}

// rebase stores a reading as the baseline without debiting it; the zero reading
// stands for no account.
func (m *Manager) rebase(ctx context.Context, id sessions.SessionID, r dataplane.Reading) (sessions.Session, error) {
	var s sessions.Session
	err := m.commit(ctx, func(c *change) error {
		var err error
		if s, err = c.Session(id); err != nil {
			return err
		}
		s.Meter.Epoch, s.Meter.Spent, s.Meter.Drops = r.Epoch, r.Counters.Spent(), r.Counters.LimitDrops
		return c.put(&s)
	})
	return s, err
}

// enforce makes the kernel hold for a device what the store says. The caller holds
// the device's lock.
func (m *Manager) enforce(ctx context.Context, id sessions.DeviceID) error {
	d, s, err := m.lookup(ctx, id)
	switch {
	case err != nil:
		return err
	case s == nil:
		return m.revoke(d.MAC)
	}
	return m.grant(d.MAC, m.rule(*s, d.BoundIPv4(), m.now()))
}

// lookup returns a device and its running session, nil for none. Under the
// device's lock that session goes on running; it may only be debited.
func (m *Manager) lookup(ctx context.Context, id sessions.DeviceID) (sessions.Device, *sessions.Session, error) {
	var d sessions.Device
	var s sessions.Session
	var running bool
	err := m.store.View(ctx, func(tx sessions.Tx) error {
		var err error
		if d, err = tx.Device(id); err == nil {
			s, running, err = runningOf(tx, id)
		}
		return err
	})
	if err != nil || !running {
		return d, nil, err
	}
	return d, &s, nil
}

// grant makes or replaces the rule of a customer.
func (m *Manager) grant(mac dataplane.MAC, rule dataplane.Rule) error {
	if static, ok := m.static[mac]; ok {
		rule = static
	}
	err := m.kernel.Grant(mac, rule)
	switch {
	case errors.Is(err, dataplane.ErrFull):
		return sessions.Errorf(sessions.Full, "%s cannot be connected: %w", mac, err)
	case err != nil:
		return sessions.Errorf(sessions.Unavailable, "the kernel did not take the rule of %s: %w", mac, err)
	}
	return nil
}

// revoke takes a customer's rule away; one that the configuration gives stays.
func (m *Manager) revoke(mac dataplane.MAC) error {
	if rule, ok := m.static[mac]; ok {
		return m.grant(mac, rule)
	}
	if err := m.kernel.Revoke(mac); err != nil {
		return sessions.Errorf(sessions.Unavailable, "the kernel did not remove the rule of %s: %w", mac, err)
	}
	return nil
}

// repairLater has the next Settle bring a device's rule in line with the store,
// after the kernel failed to take it. In between the kernel goes on enforcing the
// older rule with its limit and deadline.
func (m *Manager) repairLater(id sessions.DeviceID, err error) {
	m.log.Error("the kernel is not in line with the store; trying again at the next checkpoint", "device", id, "error", err)
	m.live.repair(id)
}
