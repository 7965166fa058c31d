// SPDX-License-Identifier: Apache-2.0

package sessions

import (
	"context"
	"net/netip"
	"slices"
	"strconv"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
)

// DeviceSpec describes a device that somebody registers; IP and Hostname may be
// empty.
type DeviceSpec struct {
	MAC, IP, Hostname string
}

// DevicePatch changes those fields of a device that are not nil.
type DevicePatch struct {
	MAC, IP, Hostname *string
}

// maxIPs is how many addresses of a device are remembered.
const maxIPs = 8

// CreateDevice registers a device. One that is known by its MAC is returned, with
// its IP and hostname updated; if it is connected, others than before are a conflict.
// Codes: Invalid.
func (m *Manager) CreateDevice(ctx context.Context, spec DeviceSpec) (Device, error) {
	mac, err := m.checkMAC(spec.MAC)
	if err != nil {
		return Device{}, err
	}
	var ip netip.Addr
	if spec.IP != "" {
		if ip, err = checkIP(spec.IP); err != nil {
			return Device{}, err
		}
	}
	if err := checkHostname(spec.Hostname); err != nil {
		return Device{}, err
	}
	return m.register(ctx, mac, ip, spec.Hostname)
}

// Observe is CreateDevice for what a device says itself. ip may be the zero Addr,
// hostname empty. Codes: Invalid.
func (m *Manager) Observe(ctx context.Context, mac dataplane.MAC, ip netip.Addr, hostname string) (Device, error) {
	if err := m.checkCustomer(mac); err != nil {
		return Device{}, err
	}
	if ip = ip.Unmap().WithZone(""); ip.IsValid() {
		if err := checkAddr(ip); err != nil {
			return Device{}, err
		}
	}
	if checkHostname(hostname) != nil {
		hostname = "" // the device's own words: not worth a refusal
	}
	return m.register(ctx, mac, ip, hostname)
}

// register creates or updates the device of a MAC.
func (m *Manager) register(ctx context.Context, mac dataplane.MAC, ip netip.Addr, hostname string) (Device, error) {
	if d, err := m.deviceByMAC(ctx, mac); err == nil && !d.wouldChange(ip, hostname) {
		return d, nil
	}
	defer m.locks.lock(newDevices)()
	var d Device
	err := m.update(ctx, func(c *change) error {
		var err error
		d, err = c.DeviceByMAC(mac)
		if CodeOf(err) == NotFound {
			d = Device{MAC: mac, Hostname: hostname, Created: c.now.wall}
			return c.addDevice(&d, ip)
		}
		if err != nil || !d.wouldChange(ip, hostname) {
			return err
		}
		return c.refreshDevice(&d, ip, hostname)
	})
	return d, err
}

func (d Device) wouldChange(ip netip.Addr, hostname string) bool {
	return ip.IsValid() && (len(d.IPs) == 0 || d.IPs[0] != ip) || hostname != "" && hostname != d.Hostname
}

func (c *change) addDevice(d *Device, ip netip.Addr) error {
	d.moveTo(ip)
	if err := c.PutDevice(d); err != nil {
		return err
	}
	return c.event(c.of(DeviceCreated, *d, Session{}))
}

func (c *change) refreshDevice(d *Device, ip netip.Addr, hostname string) error {
	if ip.Is4() {
		if err := c.notice(*d, DiffersAddress, ip.String()); err != nil {
			return err
		}
	}
	if hostname != "" {
		if err := c.notice(*d, DiffersHostname, hostname); err != nil {
			return err
		}
	}
	if hostname != "" {
		d.Hostname = hostname
	}
	d.moveTo(ip)
	if err := c.PutDevice(d); err != nil {
		return err
	}
	return c.event(c.of(DeviceUpdated, *d, Session{}))
}

// moveTo makes ip, if it is one, the device's most recent address. PutDevice takes it
// from any other device.
func (d *Device) moveTo(ip netip.Addr) {
	if !ip.IsValid() {
		return
	}
	d.IPs = slices.Insert(slices.DeleteFunc(slices.Clone(d.IPs), func(a netip.Addr) bool { return a == ip }), 0, ip)
	d.IPs = d.IPs[:min(len(d.IPs), maxIPs)]
}

// Device returns one device. Codes: NotFound.
func (m *Manager) Device(ctx context.Context, id DeviceID) (Device, error) {
	var d Device
	err := m.store.View(ctx, func(tx Tx) error {
		var err error
		d, err = tx.Device(id)
		return err
	})
	return d, err
}

// Devices returns all devices, by id.
func (m *Manager) Devices(ctx context.Context) ([]Device, error) {
	var list []Device
	err := m.store.View(ctx, func(tx Tx) error {
		var err error
		list, err = tx.Devices()
		return err
	})
	return list, err
}

func (m *Manager) deviceByMAC(ctx context.Context, mac dataplane.MAC) (Device, error) {
	var d Device
	err := m.store.View(ctx, func(tx Tx) error {
		var err error
		d, err = tx.DeviceByMAC(mac)
		return err
	})
	return d, err
}

// FindDevice returns the device that ref names: by its id in decimal, its MAC in
// any common form, or its IP. Codes: NotFound, Invalid (ref is none of these).
func (m *Manager) FindDevice(ctx context.Context, ref string) (Device, error) {
	if mac, err := dataplane.ParseMAC(ref); err == nil && !isDecimal(ref) {
		if err := mac.CheckClient(); err != nil {
			return Device{}, Invalidf("device", "%w", err)
		}
		return m.deviceByMAC(ctx, mac)
	}
	if ip, err := netip.ParseAddr(ref); err == nil {
		return m.deviceByIP(ctx, ip.Unmap().WithZone(""))
	}
	if id, err := strconv.ParseInt(ref, 10, 64); err == nil && id > 0 {
		d, err := m.Device(ctx, DeviceID(id))
		if mac, bad := dataplane.ParseMAC(ref); CodeOf(err) == NotFound && bad == nil {
			return m.deviceByMAC(ctx, mac)
		}
		return d, err
	}
	return Device{}, Invalidf("device", "%q is not an id, a MAC or an IP address", shorten(ref))
}

// isDecimal tells ids from bare MACs: 12 decimal digits may be either, and are an
// id first.
func isDecimal(s string) bool {
	_, err := strconv.ParseInt(s, 10, 64)
	return err == nil
}

func (m *Manager) deviceByIP(ctx context.Context, ip netip.Addr) (Device, error) {
	return View(ctx, m.store, func(tx Tx) (Device, error) { return tx.DeviceByIP(ip) })
}
