// SPDX-License-Identifier: Apache-2.0

package sessions

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
)

// BindMode says what a connected device has to keep, beside its MAC.
type BindMode string

// The modes.
const (
	BindNone BindMode = "none" // nothing: conflicts are only published
	BindIP   BindMode = "ip"   // its IPv4 address: the kernel lets no other pass
	BindPort BindMode = "port" // its port of the bridge: it is disconnected when it turns up on another
)

// AddressOf is the IPv4 address that a device has now: the one that was registered
// last, as from a request to the portal, unless the kernel knows others only. One that
// the kernel only remembers the device may have left: then it is the zero Addr.
func AddressOf(d Device, found []dataplane.Neighbor) netip.Addr {
	last := d.IPv4()
	if len(found) == 0 || slices.ContainsFunc(found, func(s dataplane.Neighbor) bool { return s.Addr == last }) {
		return last
	}
	best := slices.MaxFunc(found, func(a, b dataplane.Neighbor) int { return int(a.State) - int(b.State) })
	if best.State == dataplane.NeighStale {
		return netip.Addr{}
	}
	return best.Addr
}

// Answers reports whether an address is in use.
func Answers(found []dataplane.Neighbor, ip netip.Addr) bool {
	return slices.ContainsFunc(found, func(s dataplane.Neighbor) bool {
		return s.Addr == ip && s.State == dataplane.NeighReachable
	})
}

// IPv4 is the device's latest IPv4 address, or the zero Addr.
func (d Device) IPv4() netip.Addr {
	if i := slices.IndexFunc(d.IPs, netip.Addr.Is4); i >= 0 {
		return d.IPs[i]
	}
	return netip.Addr{}
}

// BoundIPv4 is the address of the device's rule, zero for any.
func (d Device) BoundIPv4() [4]byte {
	if !d.Bound.Is4() {
		return [4]byte{}
	}
	return d.Bound.As4()
}

// SplitAddress reads an IP address with the interface of its network behind a percent sign,
// as 10.0.0.5%wlan1: a zone of RFC 4007, for IPv4 as well. False: it is none.
func SplitAddress(ref string) (ip netip.Addr, ifname string, ok bool) {
	text, ifname, _ := strings.Cut(ref, "%")
	ip, err := netip.ParseAddr(text)
	return ip.Unmap(), ifname, err == nil
}

// DeviceSpec describes a device to register; IP and Hostname may be
// empty.
type DeviceSpec struct {
	MAC, IP, Hostname string
}

// DevicePatch changes those fields of a device that are not nil.
type DevicePatch struct {
	MAC, IP, Hostname *string
}

// MaxIPs is how many addresses of a device are remembered.
const MaxIPs = 8

// WouldChange reports whether a registration with this address and hostname has to be
// written. An invalid address and an empty hostname change nothing.
func (d Device) WouldChange(ip netip.Addr, hostname string) bool {
	return ip.IsValid() && (len(d.IPs) == 0 || d.IPs[0] != ip) || hostname != "" && hostname != d.Hostname
}

// LastSeen is when the device was registered last.
func (d Device) LastSeen() time.Time {
	if d.Seen.IsZero() {
		return d.Created
	}
	return d.Seen
}

// SeenEvery is how exactly it is stored when a device was seen last.
const SeenEvery = 24 * time.Hour

// DeviceID is assigned by the store, from 1 up, and never reused.
type DeviceID int64

// Device is a client machine.
type Device struct {
	ID       DeviceID
	MAC      dataplane.MAC
	IPs      []netip.Addr // last known, most recent first
	Hostname string
	Created  time.Time
	Seen     time.Time  // when it was registered last, to SeenEvery; zero: when it was made
	Bound    netip.Addr // IPv4, of the last Connect, where the configuration binds to it
	Visitor  bool       // in memory only: it bought nothing yet
}

// MoveTo makes ip, if it is one, the device's most recent address. PutDevice takes it
// from any other device.
func (d *Device) MoveTo(ip netip.Addr) {
	if !ip.IsValid() {
		return
	}
	d.IPs = slices.Insert(slices.DeleteFunc(slices.Clone(d.IPs), func(a netip.Addr) bool { return a == ip }), 0, ip)
	d.IPs = d.IPs[:min(len(d.IPs), MaxIPs)]
}
