// SPDX-License-Identifier: Apache-2.0

package sessions

import (
	"context"
	"errors"
	"sync"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
)

// Disconnect pauses the device's running session. When it returns nil, no further
// packet passes and the balance is saved. On a device that is not connected it
// changes nothing. Codes: NotFound, Forbidden (a trusted device), Unavailable.
// notify goes into client.disconnected.
func (m *Manager) Disconnect(ctx context.Context, id DeviceID, notify string) (Status, error) {
	d, err := m.pause(ctx, id, ReasonRequest, notify)
	if err != nil {
		return Status{}, err
	}
	if m.trusted(d.MAC) {
		return Status{}, Errorf(Forbidden, "device %d (%s) is trusted by the configuration: it is always connected", id, d.MAC)
	}
	return Status{Device: d}, nil
}

// pause stops the running session of a device, if there is one.
func (m *Manager) pause(ctx context.Context, id DeviceID, reason, message string) (Device, error) {
	defer m.locks.lock(id)()
	if err := ctx.Err(); err != nil {
		return Device{}, err
	}
	ctx = context.WithoutCancel(ctx)
	d, s, err := m.lookup(ctx, id)
	if err != nil {
		return d, err
	}
	if s == nil {
		return d, m.stay(ctx, id, reason, message)
	}
	if err := m.revoke(d.MAC); err != nil {
		return d, err
	}
	err = m.commit(ctx, m.halting(d, s.ID, m.lastReading(s.ID), reason, message))
	if err != nil {
		m.restore(ctx, id)
	}
	return d, err
}

// stay sees to it that a device on which nothing runs stays that way, if its next
// session is being looked for just now. The caller holds its lock.
func (m *Manager) stay(ctx context.Context, id DeviceID, reason, message string) error {
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
func (m *Manager) lastReading(id SessionID) *dataplane.Reading {
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
func (m *Manager) halting(d Device, id SessionID, r *dataplane.Reading, reason, message string) func(*change) error {
	return func(c *change) error {
		s, err := c.Session(id)
		if err != nil {
			return err
		}
		met := limitMet(s, r)
		s = settled(s, r, c.now)
		next, _, over := judge(s, watch{closed: met}, c.now)
		if !over {
			next = Paused
		}
		if err := c.halt(d, &s, next, reason); err != nil {
			return err
		}
		return c.disconnected(d, s, reason, message)
	}
}

// restore grants again what was revoked for a pause that could not be stored.
func (m *Manager) restore(ctx context.Context, id DeviceID) {
	if err := m.enforce(ctx, id); err != nil {
		m.repairLater(id, err)
	}
}

// atOnce is how many devices are disconnected at the same time.
const atOnce = 64

// disconnectAll pauses every running session. Many at once: each waits for the
// kernel to be done with its packets, and those that wait together wait once.
func (m *Manager) disconnectAll(ctx context.Context, reason string) error {
	running, err := m.runningSessions(ctx)
	if err != nil {
		return err
	}
	failed := make([]error, len(running))
	var group sync.WaitGroup
	places := make(chan struct{}, atOnce)
	for i, s := range running {
		places <- struct{}{}
		group.Go(func() {
			_, failed[i] = m.pause(ctx, s.Device, reason, "")
			<-places
		})
	}
	group.Wait()
	return errors.Join(failed...)
}
