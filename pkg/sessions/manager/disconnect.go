// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"context"
	"errors"
	"slices"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// Disconnect pauses the device's running session. When it returns nil, no further
// packet passes and the balance is saved. On a device that is not connected it
// changes nothing. Codes: NotFound, Forbidden (a trusted device), Unavailable.
// notify goes into client.disconnected.
func (m *Manager) Disconnect(ctx context.Context, id sessions.DeviceID, notify string) (sessions.Status, error) {
	d, err := m.pause(ctx, id, sessions.ReasonRequest, notify)
	if err != nil {
		return sessions.Status{}, err
	}
	if m.trusted(d.MAC) {
		return sessions.Status{}, sessions.Errorf(sessions.Forbidden, "device %d (%s) is trusted by the configuration: it is always connected", id, d.MAC)
	}
	return sessions.Status{Device: d}, nil
}

// pause stops the running session of a device, if there is one.
func (m *Manager) pause(ctx context.Context, id sessions.DeviceID, reason, message string) (sessions.Device, error) {
	defer m.locks.lock(id)()
	if err := ctx.Err(); err != nil {
		return sessions.Device{}, err
	}
	ctx = context.WithoutCancel(ctx)
	d, s, err := m.connected(ctx, id)
	if err != nil {
		return d, err
	}
	if s == 0 {
		return d, m.stay(ctx, id, reason, message)
	}
	return m.pauseRunning(ctx, d, s, reason, message)
}

// connected returns what a device runs, 0 for nothing. Of the device, id and MAC are
// known.
func (m *Manager) connected(ctx context.Context, id sessions.DeviceID) (sessions.Device, sessions.SessionID, error) {
	if s, mac, running := m.live.running(id); running {
		return sessions.Device{ID: id, MAC: mac}, s.ID, nil
	}
	d, s, err := m.lookup(ctx, id) // what runs may not be remembered, before the first Reconcile
	if err != nil || s == nil {
		return d, 0, err
	}
	return d, s.ID, nil
}

// pauseRunning stops a session of a device whose lock the caller holds, and returns the
// device as it is stored.
func (m *Manager) pauseRunning(ctx context.Context, d sessions.Device, id sessions.SessionID, reason, message string) (sessions.Device, error) {
	if err := m.revoke(d.MAC); err != nil {
		return d, err
	}
	halt := m.halting(d, id, m.lastReading(id), reason, message)
	stored := d
	err := m.commit(ctx, func(c *change) error {
		var err error
		if stored, err = c.Device(d.ID); err != nil {
			return err
		}
		return halt(c)
	})
	if err != nil {
		m.restore(ctx, d.ID)
	}
	return stored, err
}

// stay sees to it that a device on which nothing runs stays that way, if its next
// session is being looked for just now. The caller holds its lock.
func (m *Manager) stay(ctx context.Context, id sessions.DeviceID, reason, message string) error {
	e, between := m.gaps.leave(id)
	if !between {
		return nil
	}
	err := m.commit(ctx, func(c *change) error { return c.gone(e, reason, message) })
	if err != nil {
		m.gaps.enter(e)
	}
	return err
}

// lastReading reads the account of a session that is being stopped. A count that
// cannot be read is debited at a checkpoint, as are packets still in flight.
func (m *Manager) lastReading(id sessions.SessionID) *dataplane.Reading {
	r, found, err := m.read(id.Account())
	if err != nil {
		m.log.Warn("the last count will be debited later", "session", id, "error", err)
	}
	if !found {
		return nil
	}
	return &r
}

// halting settles a running session up to now, stops it and says so.
func (m *Manager) halting(d sessions.Device, id sessions.SessionID, r *dataplane.Reading, reason, message string) func(*change) error {
	return func(c *change) error {
		s, err := c.Session(id)
		if err != nil {
			return err
		}
		met := sessions.LimitMet(s, r)
		s = sessions.AsOf(s, r, c.now)
		next, _, over := sessions.NextState(s, sessions.Activity{Closed: met}, c.now)
		if !over {
			next = sessions.Paused
		}
		if err := c.halt(d, &s, next, reason); err != nil {
			return err
		}
		return c.disconnected(d, s, reason, message)
	}
}

// restore grants again what was revoked for a pause that could not be stored.
func (m *Manager) restore(ctx context.Context, id sessions.DeviceID) {
	if err := m.enforce(ctx, id); err != nil {
		m.repairLater(id, err)
	}
}

// disconnectAll pauses every running session, many in one transaction.
func (m *Manager) disconnectAll(ctx context.Context, reason string) error {
	devices, err := m.storedRunning(ctx)
	if err != nil {
		return err
	}
	var failed error
	for some := range slices.Chunk(devices, atATime) {
		failed = errors.Join(failed, m.pauseSome(ctx, some, reason))
	}
	return failed
}

func (m *Manager) pauseSome(ctx context.Context, devices []sessions.DeviceID, reason string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx)
	defer m.locks.lock(devices...)()
	var halts []func(*change) error
	var failed error
	for _, id := range devices {
		d, s, err := m.connected(ctx, id)
		if err == nil && s != 0 {
			err = m.revoke(d.MAC)
		}
		if err == nil && s != 0 {
			halts = append(halts, m.halting(d, s, m.lastReading(s), reason, ""))
		}
		failed = errors.Join(failed, err)
	}
	err := m.commit(ctx, func(c *change) error {
		for _, halt := range halts {
			if err := halt(c); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		for _, id := range devices {
			m.restore(ctx, id)
		}
	}
	return errors.Join(failed, err)
}
