// SPDX-License-Identifier: Apache-2.0

package sessions

import (
	"context"
	"net/netip"
	"slices"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
)

// BindMode says what a connected device has to keep, beside its MAC.
type BindMode string

// The modes.
const (
	BindNone BindMode = "none" // nothing: conflicts are told, and that is all
	BindIP   BindMode = "ip"   // its IPv4 address: the kernel lets no other pass
	BindPort BindMode = "port" // its port of the bridge: it is disconnected when it turns up on another
)

// ReasonPort is why a device was disconnected that turned up on another port.
const ReasonPort = "port"

// rebind binds a device that is about to be connected to where it is now. One that is
// connected already is bound anew only when it is elsewhere, and the address that it is
// bound to answers no more: who copied its MAC cannot take a customer's place who is
// there.
func (m *Manager) rebind(ctx context.Context, id DeviceID) error {
	if m.cfg.Bind != BindIP {
		return nil
	}
	defer m.locks.lock(id)()
	d, s, err := m.lookup(ctx, id)
	if err != nil {
		return err
	}
	found := m.locate(d.MAC)
	at := addressOf(d, found)
	if at == d.Bound || s != nil && (!at.IsValid() || answers(found, d.Bound)) {
		return nil
	}
	return m.bindTo(ctx, d, s != nil, at)
}

// learn binds a connected device of which no address was known to one that it uses.
func (m *Manager) learn(ctx context.Context, s Session, seen dataplane.Neighbor) error {
	if m.cfg.Bind != BindIP || seen.State == dataplane.NeighStale || m.live.bound(s.ID) != [4]byte{} {
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
func (m *Manager) bindTo(ctx context.Context, d Device, connected bool, at netip.Addr) error {
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

// addressOf is the IPv4 address that a device has now: the one that was registered
// last, as from a request to the portal, unless the kernel knows others only. One that
// the kernel only remembers the device may have left: then it is the zero Addr.
func addressOf(d Device, found []dataplane.Neighbor) netip.Addr {
	last := d.ipv4()
	if len(found) == 0 || slices.ContainsFunc(found, func(s dataplane.Neighbor) bool { return s.Addr == last }) {
		return last
	}
	best := slices.MaxFunc(found, func(a, b dataplane.Neighbor) int { return int(a.State) - int(b.State) })
	if best.State == dataplane.NeighStale {
		return netip.Addr{}
	}
	return best.Addr
}

// answers reports whether an address is in use.
func answers(found []dataplane.Neighbor, ip netip.Addr) bool {
	return slices.ContainsFunc(found, func(s dataplane.Neighbor) bool {
		return s.Addr == ip && s.State == dataplane.NeighReachable
	})
}

// ipv4 is the device's latest IPv4 address, or the zero Addr.
func (d Device) ipv4() netip.Addr {
	if i := slices.IndexFunc(d.IPs, netip.Addr.Is4); i >= 0 {
		return d.IPs[i]
	}
	return netip.Addr{}
}

// bound is the address that the kernel is told, zero for any.
func (d Device) bound() [4]byte {
	if !d.Bound.Is4() {
		return [4]byte{}
	}
	return d.Bound.As4()
}

// bound is what a running session's device is bound to.
func (l *liveTable) bound(id SessionID) [4]byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.byID[id]; e != nil {
		return e.bound
	}
	return [4]byte{}
}

// rule is what the kernel enforces for a running session of a device that is bound to
// an address.
func (m *Manager) rule(s Session, bound [4]byte, now moment) dataplane.Rule {
	rule := ruleOf(s, m.speeds(), now)
	if m.cfg.Bind == BindIP {
		rule.Bound = bound
	}
	return rule
}
