// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"context"
	"net/netip"
	"slices"
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
	return m.devices.Register(ctx, mac, ip, spec.Hostname)
}

// Observe is CreateDevice for what a device says itself. A new one becomes a visitor: it
// has an id, and no row in the store before it buys. Of many visitors the one that was not
// observed for longest is forgotten, and all are when the agent ends. ip may be the zero
// Addr, hostname empty. Codes: Invalid.
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
	return m.devices.See(ctx, mac, ip, hostname)
}

// Device returns one device. Codes: NotFound.
func (m *Manager) Device(ctx context.Context, id sessions.DeviceID) (sessions.Device, error) {
	return m.devices.Device(ctx, id)
}

// Devices returns the selected devices, by id; without visitors.
func (m *Manager) Devices(ctx context.Context, filter sessions.DeviceFilter) ([]sessions.Device, error) {
	return sessions.Snapshot(ctx, m.ledger.Store, func(tx sessions.Tx) ([]sessions.Device, error) { return tx.Devices(filter) })
}

// DeleteDevice removes a device, with its sessions that are over. Codes: NotFound, Conflict (it
// has other sessions, which the message names).
func (m *Manager) DeleteDevice(ctx context.Context, id sessions.DeviceID) error {
	return m.devices.Delete(ctx, id)
}

// LastWithAddress returns the device that was the last one to be known by an address. It
// may have left: whose the address is now only the kernel knows. Codes: NotFound.
func (m *Manager) LastWithAddress(ctx context.Context, ip netip.Addr) (sessions.Device, error) {
	return m.devices.ByIP(ctx, ip)
}

// FindDevice returns the device that ref names: by its id in decimal, or its MAC in any
// common form. Codes: NotFound, Invalid (ref is neither, nor an IP address).
func (m *Manager) FindDevice(ctx context.Context, ref string) (sessions.Device, error) {
	if mac, err := dataplane.ParseMAC(ref); err == nil && !isDecimal(ref) {
		if err := mac.CheckClient(); err != nil {
			return sessions.Device{}, sessions.Invalidf("device", "%w", err)
		}
		return m.devices.ByMAC(ctx, mac)
	}
	if id, err := strconv.ParseInt(ref, 10, 64); err == nil && id > 0 {
		d, err := m.devices.Device(ctx, sessions.DeviceID(id))
		if sessions.CodeOf(err) != sessions.NotFound {
			return d, err
		}
		if mac, bad := dataplane.ParseMAC(ref); bad == nil {
			return m.devices.ByMAC(ctx, mac)
		}
		return d, sessions.Errorf(sessions.NotFound, "device %d does not exist; one that bought nothing is forgotten when the agent ends: name its MAC, or resolve its address again", id)
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
