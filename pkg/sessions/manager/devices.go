// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"context"
	"net/netip"
	"slices"
	"strconv"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager/internal/enforce"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager/internal/ledger"
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
	if d, err := m.ledger.DeviceByMAC(ctx, mac); err == nil && !d.WouldChange(ip, hostname) {
		return d, nil
	}
	held := m.enforce.Lock(enforce.UnknownMAC)
	defer held.Unlock()
	var d sessions.Device
	err := m.ledger.Update(ctx, func(c *ledger.Tx) error {
		var err error
		d, err = c.DeviceByMAC(mac)
		if sessions.CodeOf(err) == sessions.NotFound {
			d = sessions.Device{MAC: mac, Hostname: hostname, Created: c.Now.Wall}
			return addDevice(c, &d, ip)
		}
		if err != nil || !d.WouldChange(ip, hostname) {
			return err
		}
		return m.refreshDevice(c, &d, ip, hostname)
	})
	return d, err
}

func addDevice(c *ledger.Tx, d *sessions.Device, ip netip.Addr) error {
	d.MoveTo(ip)
	if err := c.PutDevice(d); err != nil {
		return err
	}
	return c.Publish(c.NewEvent(sessions.DeviceCreated, *d, sessions.Session{}))
}

func (m *Manager) refreshDevice(c *ledger.Tx, d *sessions.Device, ip netip.Addr, hostname string) error {
	if ip.Is4() {
		if err := m.identity.Register(c, *d, sessions.DiffersAddress, ip.String()); err != nil {
			return err
		}
	}
	if hostname != "" {
		if err := m.identity.Register(c, *d, sessions.DiffersHostname, hostname); err != nil {
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
	return c.Publish(c.NewEvent(sessions.DeviceUpdated, *d, sessions.Session{}))
}

// Device returns one device. Codes: NotFound.
func (m *Manager) Device(ctx context.Context, id sessions.DeviceID) (sessions.Device, error) {
	return m.ledger.Device(ctx, id)
}

// Devices returns all devices, by id.
func (m *Manager) Devices(ctx context.Context) ([]sessions.Device, error) {
	return sessions.Snapshot(ctx, m.ledger.Store, sessions.Tx.Devices)
}

// LastWithAddress returns the device that was the last one to be known by an address. It
// may have left: whose the address is now only the kernel knows. Codes: NotFound.
func (m *Manager) LastWithAddress(ctx context.Context, ip netip.Addr) (sessions.Device, error) {
	return sessions.View(ctx, m.ledger.Store, func(tx sessions.Tx) (sessions.Device, error) { return tx.DeviceByIP(ip) })
}

// FindDevice returns the device that ref names: by its id in decimal, or its MAC in any
// common form. Codes: NotFound, Invalid (ref is neither, nor an IP address).
func (m *Manager) FindDevice(ctx context.Context, ref string) (sessions.Device, error) {
	if mac, err := dataplane.ParseMAC(ref); err == nil && !isDecimal(ref) {
		if err := mac.CheckClient(); err != nil {
			return sessions.Device{}, sessions.Invalidf("device", "%w", err)
		}
		return m.ledger.DeviceByMAC(ctx, mac)
	}
	if id, err := strconv.ParseInt(ref, 10, 64); err == nil && id > 0 {
		d, err := m.ledger.Device(ctx, sessions.DeviceID(id))
		if mac, bad := dataplane.ParseMAC(ref); sessions.CodeOf(err) == sessions.NotFound && bad == nil {
			return m.ledger.DeviceByMAC(ctx, mac)
		}
		return d, err
	}
	return sessions.Device{}, sessions.Invalidf("device", "%q is not an id, a MAC or an IP address", sessions.Shorten(ref))
}

// isDecimal reports whether a reference may be an id: 12 decimal digits may be a bare
// MAC as well, and are an id first.
func isDecimal(s string) bool {
	_, err := strconv.ParseInt(s, 10, 64)
	return err == nil
}

// checkMAC reads the MAC of a customer.
func (m *Manager) checkMAC(text string) (dataplane.MAC, error) {
	mac, err := dataplane.ParseMAC(text)
	if err != nil {
		return mac, sessions.Invalidf("mac", "%s", err)
	}
	return mac, m.checkCustomer(mac)
}

func (m *Manager) checkCustomer(mac dataplane.MAC) error {
	if err := mac.CheckClient(); err != nil {
		return sessions.Invalidf("mac", "%s", err)
	}
	if m.cfg.RouterMACs != nil && slices.Contains(m.cfg.RouterMACs(), mac) {
		return sessions.Invalidf("mac", "%s is this router's own address", mac)
	}
	return nil
}
