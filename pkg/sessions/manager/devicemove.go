// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"context"
	"net/netip"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// devicePatch is a DevicePatch that was checked.
type devicePatch struct {
	mac      *dataplane.MAC
	bound    netip.Addr // of another MAC; as of a request none: it is to be seen
	ip       *netip.Addr
	hostname *string
}

func (m *Manager) checkPatch(p sessions.DevicePatch) (devicePatch, error) {
	var out devicePatch
	if p.MAC != nil {
		mac, err := m.checkMAC(*p.MAC)
		if err != nil {
			return out, err
		}
		if rule, ok := m.static[mac]; ok && rule.Verdict == dataplane.Block {
			return out, sessions.Errorf(sessions.Forbidden, "mac: %s is blocked by the configuration", mac)
		}
		out.mac = &mac
	}
	if p.IP != nil {
		ip, err := sessions.ParseIP(*p.IP)
		if err != nil {
			return out, err
		}
		out.ip = &ip
	}
	if p.Hostname != nil {
		if err := sessions.CheckHostname(*p.Hostname); err != nil {
			return out, err
		}
		out.hostname = p.Hostname
	}
	return out, nil
}

// UpdateDevice changes a device. A connected one that moves to another MAC stays
// connected: both MACs count to its session until the old one is let go. Codes:
// NotFound, Invalid, Conflict (the MAC is another device's), Full, Forbidden.
func (m *Manager) UpdateDevice(ctx context.Context, id sessions.DeviceID, patch sessions.DevicePatch) (sessions.Device, error) {
	p, err := m.checkPatch(patch)
	if err != nil {
		return sessions.Device{}, err
	}
	defer m.locks.lock(newDevices, id)()
	if err := ctx.Err(); err != nil {
		return sessions.Device{}, err
	}
	ctx = context.WithoutCancel(ctx)
	old, s, err := m.lookup(ctx, id)
	if err != nil {
		return sessions.Device{}, err
	}
	d, err := m.storePatch(ctx, id, p)
	if err != nil || s == nil || d.MAC == old.MAC {
		return d, err
	}
	if err := m.carry(ctx, old, d, *s); err != nil {
		return sessions.Device{}, err
	}
	return d, nil
}

func (m *Manager) storePatch(ctx context.Context, id sessions.DeviceID, p devicePatch) (sessions.Device, error) {
	var d sessions.Device
	err := m.update(ctx, func(c *change) error {
		var err error
		if d, err = c.Device(id); err != nil {
			return err
		}
		if p.mac != nil && *p.mac != d.MAC {
			d.MAC, d.Bound = *p.mac, p.bound
		}
		if p.hostname != nil {
			d.Hostname = *p.hostname
		}
		if p.ip != nil {
			d.MoveTo(*p.ip)
		}
		if err := c.PutDevice(&d); err != nil {
			return err
		}
		c.known = append(c.known, d)
		return c.event(c.of(sessions.DeviceUpdated, d, sessions.Session{}))
	})
	return d, err
}

// carry moves a running session's rule to the device's new MAC: granted there
// first, with the same account, then taken from the old one. When the kernel has
// no room for both, the device keeps its old MAC.
func (m *Manager) carry(ctx context.Context, old, d sessions.Device, s sessions.Session) error {
	if m.trusted(d.MAC) {
		err := m.update(ctx, m.halting(d, s.ID, m.lastReading(s.ID), sessions.ReasonTrusted, ""))
		if err != nil {
			return err
		}
	} else if err := m.grant(d.MAC, m.rule(s, d.BoundIPv4(), m.now())); err != nil {
		if _, undo := m.storePatch(ctx, d.ID, devicePatch{mac: &old.MAC, bound: old.Bound}); undo != nil {
			m.repairLater(d.ID, undo)
		}
		return err
	}
	if err := m.revoke(old.MAC); err != nil {
		m.log.Error("the rule of the old MAC stays until the next reconciling", "mac", old.MAC, "error", err)
	}
	return nil
}

// trusted reports whether the configuration lets a MAC through.
func (m *Manager) trusted(mac dataplane.MAC) bool {
	rule, ok := m.static[mac]
	return ok && rule.Verdict == dataplane.Allow
}
