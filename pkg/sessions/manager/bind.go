// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"context"
	"net/netip"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// rebind binds a device that is about to be connected to where it is now. One that is
// connected already is bound anew only when it is elsewhere, and the address that it is
// bound to answers no more: who copied its MAC cannot take a customer's place who is
// there.
func (m *Manager) rebind(ctx context.Context, id sessions.DeviceID) error {
	if m.cfg.Bind != sessions.BindIP {
		return nil
	}
	defer m.locks.lock(id)()
	d, s, err := m.lookup(ctx, id)
	if err != nil {
		return err
	}
	found := m.locate(d.MAC)
	at := sessions.AddressOf(d, found)
	if at == d.Bound || s != nil && (!at.IsValid() || sessions.Answers(found, d.Bound)) {
		return nil
	}
	return m.bindTo(ctx, d, s != nil, at)
}

// learn binds a connected device of which no address was known to one that it uses.
func (m *Manager) learn(ctx context.Context, s sessions.Session, seen dataplane.Neighbor) error {
	if m.cfg.Bind != sessions.BindIP || seen.State == dataplane.NeighStale || m.live.bound(s.ID) != [4]byte{} {
		return nil
	}
	defer m.locks.lock(s.Device)()
	d, now, err := m.lookup(ctx, s.Device)
	if err != nil || now == nil || now.ID != s.ID || d.Bound.IsValid() {
		return err
	}
	return m.bindTo(ctx, d, true, seen.Addr)
}

// bindTo stores an address, and has the kernel hold a connected device to it. The
// caller holds the device's lock.
func (m *Manager) bindTo(ctx context.Context, d sessions.Device, connected bool, at netip.Addr) error {
	ctx = context.WithoutCancel(ctx)
	err := m.commit(ctx, func(c *change) error {
		d, err := c.Device(d.ID)
		if err != nil {
			return err
		}
		d.Bound = at
		c.known = append(c.known, d)
		return c.PutDevice(&d)
	})
	if err != nil || !connected {
		return err
	}
	return m.enforce(ctx, d.ID)
}

// locate asks the kernel where a MAC is.
func (m *Manager) locate(mac dataplane.MAC) []dataplane.Neighbor {
	if m.cfg.Locate == nil {
		return nil
	}
	found, err := m.cfg.Locate(mac)
	if err != nil {
		m.log.Warn("where a device is cannot be found out", "mac", mac, "error", err)
	}
	return found
}

// bound is what a running session's device is bound to.
func (l *liveTable) bound(id sessions.SessionID) [4]byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.byID[id]; e != nil {
		return e.bound
	}
	return [4]byte{}
}

// rule is what the kernel enforces for a running session of a device that is bound to
// an address.
func (m *Manager) rule(s sessions.Session, bound [4]byte, now sessions.Instant) dataplane.Rule {
	rule := sessions.RuleOf(s, m.speeds(), now)
	if m.cfg.Bind == sessions.BindIP {
		rule.Bound = bound
	}
	return rule
}
