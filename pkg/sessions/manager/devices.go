// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"context"
	"net/netip"
	"strconv"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// CreateDevice registers a device. One that is known by its MAC is returned, with
// its IP and hostname updated; if it is connected, others than before are a conflict.
// Codes: Invalid.
func (m *Manager) CreateDevice(ctx context.Context, spec sessions.DeviceSpec) (sessions.Device, error) {
	mac, err := m.checkMAC(spec.MAC)
	if err != nil {
		return sessions.Device{}, err
	}
	var ip netip.Addr
	if spec.IP != "" {
		if ip, err = sessions.ParseIP(spec.IP); err != nil {
			return sessions.Device{}, err
		}
	}
	if err := sessions.CheckHostname(spec.Hostname); err != nil {
		return sessions.Device{}, err
	}
	return m.register(ctx, mac, ip, spec.Hostname)
}

// Observe is CreateDevice for what a device says itself. ip may be the zero Addr,
// hostname empty. Codes: Invalid.
func (m *Manager) Observe(ctx context.Context, mac dataplane.MAC, ip netip.Addr, hostname string) (sessions.Device, error) {
	if err := m.checkCustomer(mac); err != nil {
		return sessions.Device{}, err
	}
	if ip = ip.Unmap().WithZone(""); ip.IsValid() {
		if err := sessions.CheckIP(ip); err != nil {
			return sessions.Device{}, err
		}
	}
	if sessions.CheckHostname(hostname) != nil {
		hostname = "" // the device's own words: not worth a refusal
	}
	return m.register(ctx, mac, ip, hostname)
}

// register creates or updates the device of a MAC.
func (m *Manager) register(ctx context.Context, mac dataplane.MAC, ip netip.Addr, hostname string) (sessions.Device, error) {
	if d, err := m.deviceByMAC(ctx, mac); err == nil && !d.WouldChange(ip, hostname) {
		return d, nil
	}
	defer m.locks.lock(newDevices)()
	var d sessions.Device
	err := m.update(ctx, func(c *change) error {
		var err error
		d, err = c.DeviceByMAC(mac)
		if sessions.CodeOf(err) == sessions.NotFound {
			d = sessions.Device{MAC: mac, Hostname: hostname, Created: c.now.Wall}
			return c.addDevice(&d, ip)
		}
		if err != nil || !d.WouldChange(ip, hostname) {
			return err
		}
		return c.refreshDevice(&d, ip, hostname)
	})
	return d, err
}

func (c *change) addDevice(d *sessions.Device, ip netip.Addr) error {
	d.MoveTo(ip)
	if err := c.PutDevice(d); err != nil {
		return err
	}
	return c.event(c.of(sessions.DeviceCreated, *d, sessions.Session{}))
}

func (c *change) refreshDevice(d *sessions.Device, ip netip.Addr, hostname string) error {
	if ip.Is4() {
		if err := c.notice(*d, sessions.DiffersAddress, ip.String()); err != nil {
			return err
		}
	}
	if hostname != "" {
		if err := c.notice(*d, sessions.DiffersHostname, hostname); err != nil {
			return err
		}
	}
	if hostname != "" {
		d.Hostname = hostname
	}
	d.MoveTo(ip)
	if err := c.PutDevice(d); err != nil {
		return err
	}
	return c.event(c.of(sessions.DeviceUpdated, *d, sessions.Session{}))
}

// Device returns one device. Codes: NotFound.
func (m *Manager) Device(ctx context.Context, id sessions.DeviceID) (sessions.Device, error) {
	var d sessions.Device
	err := m.store.View(ctx, func(tx sessions.Tx) error {
		var err error
		d, err = tx.Device(id)
		return err
	})
	return d, err
}

// Devices returns all devices, by id.
func (m *Manager) Devices(ctx context.Context) ([]sessions.Device, error) {
	return sessions.Snapshot(ctx, m.store, sessions.Tx.Devices)
}

func (m *Manager) deviceByMAC(ctx context.Context, mac dataplane.MAC) (sessions.Device, error) {
	var d sessions.Device
	err := m.store.View(ctx, func(tx sessions.Tx) error {
		var err error
		d, err = tx.DeviceByMAC(mac)
		return err
	})
	return d, err
}

// FindDevice returns the device that ref names: by its id in decimal, its MAC in
// any common form, or its IP. Codes: NotFound, Invalid (ref is none of these).
func (m *Manager) FindDevice(ctx context.Context, ref string) (sessions.Device, error) {
	if mac, err := dataplane.ParseMAC(ref); err == nil && !isDecimal(ref) {
		if err := mac.CheckClient(); err != nil {
			return sessions.Device{}, sessions.Invalidf("device", "%w", err)
		}
		return m.deviceByMAC(ctx, mac)
	}
	if ip, err := netip.ParseAddr(ref); err == nil {
		return m.deviceByIP(ctx, ip.Unmap().WithZone(""))
	}
	if id, err := strconv.ParseInt(ref, 10, 64); err == nil && id > 0 {
		d, err := m.Device(ctx, sessions.DeviceID(id))
		if mac, bad := dataplane.ParseMAC(ref); sessions.CodeOf(err) == sessions.NotFound && bad == nil {
			return m.deviceByMAC(ctx, mac)
		}
		return d, err
	}
	return sessions.Device{}, sessions.Invalidf("device", "%q is not an id, a MAC or an IP address", sessions.Shorten(ref))
}

// isDecimal tells ids from bare MACs: 12 decimal digits may be either, and are an
// id first.
func isDecimal(s string) bool {
	_, err := strconv.ParseInt(s, 10, 64)
	return err == nil
}

func (m *Manager) deviceByIP(ctx context.Context, ip netip.Addr) (sessions.Device, error) {
	return sessions.View(ctx, m.store, func(tx sessions.Tx) (sessions.Device, error) { return tx.DeviceByIP(ip) })
}
