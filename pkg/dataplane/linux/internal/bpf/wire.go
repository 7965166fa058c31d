// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"encoding/binary"
	"math"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
)

// This file is where the generated types of bpf/abi.h meet the public ones.

// LayoutVersion is that of the maps. Pinned maps of another one are not adopted.
const LayoutVersion = uint32(HotspotAbiABI_LAYOUT_VERSION)

// Direction, as the client sees it.
const (
	Upload     = int(HotspotDirectionUPLOAD)
	Download   = int(HotspotDirectionDOWNLOAD)
	Directions = int(HotspotDirectionDIRECTIONS)
)

// What is open before paying and has a speed, each for itself.
const (
	PreauthDNS    = int(HotspotPreauthSpeedPREAUTH_DNS)
	PreauthErrors = int(HotspotPreauthSpeedPREAUTH_ERRORS)
	PreauthSpeeds = int(HotspotPreauthSpeedPREAUTH_SPEEDS)
)

// DirectionLabels name the directions in metrics and messages.
var DirectionLabels = [Directions]string{Upload: "upload", Download: "download"}

// MACToWire is the key of a client.
func MACToWire(m dataplane.MAC) HotspotMacKey { return HotspotMacKey{Addr: m} }

// MACFromWire is the inverse of MACToWire.
func MACFromWire(k HotspotMacKey) dataplane.MAC { return k.Addr }

// AddrToWire is the key of an address, of IPv4 as ::ffff:0:0/96.
func AddrToWire(a netip.Addr) HotspotAddrKey { return HotspotAddrKey{Addr: addrBytes(a)} }

// addrBytes is the IPv6 address, or the IPv4 one mapped into ::ffff:0:0/96; all
// zero for the zero Addr.
func addrBytes(a netip.Addr) [16]byte {
	if !a.IsValid() {
		return [16]byte{}
	}
	return a.As16()
}

// PrefixToWire is the key of a prefix in a map of type LPM trie, of IPv4 in ::ffff:0:0/96.
func PrefixToWire(p netip.Prefix) HotspotPrefixKey {
	p = p.Masked()
	bits := p.Bits()
	if p.Addr().Is4() {
		bits += 96
	}
	return HotspotPrefixKey{PrefixLen: uint32(bits), Addr: p.Addr().As16()}
}

// VLANToWire is the key of a VLAN of an interface. The protocol is that of its tag.
func VLANToWire(ifindex int, protocol, id uint16) HotspotVlanKey {
	return HotspotVlanKey{Ifindex: uint32(ifindex), ProtocolBe: toBigEndian(protocol), Id: id}
}

// PortalToWire is the key of a portal.
func PortalToWire(p dataplane.Portal) HotspotPortalKey {
	protocol := uint8(unix.IPPROTO_TCP)
	if p.Protocol == "udp" {
		protocol = unix.IPPROTO_UDP
	}
	return HotspotPortalKey{Addr: addrBytes(p.Addr), PortBe: toBigEndian(p.Port), Protocol: protocol}
}

// RuleToWire fails when a speed is out of bounds.
func RuleToWire(r dataplane.Rule) (HotspotRule, error) {
	w := HotspotRule{
		Account:    uint64(r.Account),
		LimitBytes: r.LimitBytes,
		DeadlineNs: uint64(r.Deadline),
		Verdict:    uint32(r.Verdict),
		BoundBe:    binary.NativeEndian.Uint32(r.Bound[:]),
	}
	if r.Deadline == 0 {
		w.DeadlineNs = dataplane.NoLimit
	}
	down, err := NewSpeed("DownBPS", r.DownBPS)
	if err != nil {
		return w, err
	}
	up, err := NewSpeed("UpBPS", r.UpBPS)
	if err != nil {
		return w, err
	}
	for dir, s := range [Directions]Speed{Upload: up, Download: down} {
		w.Speed[dir].BitPerS = s.BitPerS
		w.Speed[dir].RateNsPerByte = s.RateNsPerByte
		w.Speed[dir].BurstNs = s.BurstNs
	}
	return w, nil
}

// RuleFromWire is the inverse of RuleToWire.
func RuleFromWire(w HotspotRule) dataplane.Rule {
	r := dataplane.Rule{
		Verdict:    dataplane.Verdict(w.Verdict),
		Account:    dataplane.Account(w.Account),
		LimitBytes: w.LimitBytes,
		DownBPS:    w.Speed[Download].BitPerS,
		UpBPS:      w.Speed[Upload].BitPerS,
	}
	binary.NativeEndian.PutUint32(r.Bound[:], w.BoundBe)
	if w.DeadlineNs != dataplane.NoLimit {
		r.Deadline = BoottimeFromWire(w.DeadlineNs)
	}
	return r
}

// EventFromWire decodes a record of the ring buffer.
func EventFromWire(e *HotspotEvent) dataplane.Event {
	return dataplane.Event{
		Kind:    dataplane.EventKind(e.Kind),
		MAC:     MACFromWire(e.Mac),
		Account: dataplane.Account(e.Account),
		At:      BoottimeFromWire(e.AtNs),
	}
}

// BoottimeFromWire saturates where the signed number ends.
func BoottimeFromWire(ns uint64) dataplane.Boottime {
	return dataplane.Boottime(min(ns, math.MaxInt64))
}

// toBigEndian returns the number whose bytes in memory are v in network order.
func toBigEndian(v uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, v))
}
