// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"encoding/binary"
	"math"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
)

// This file is where the generated types of bpf/abi.h meet the public ones.

// layoutVersion: pinned maps of another one are not adopted.
const layoutVersion = uint32(hotspotAbiABI_LAYOUT_VERSION)

// Direction, as the client sees it.
const (
	upload     = int(hotspotDirectionUPLOAD)
	download   = int(hotspotDirectionDOWNLOAD)
	directions = int(hotspotDirectionDIRECTIONS)
)

var directionLabels = [directions]string{upload: "upload", download: "download"}

func macToWire(m dataplane.MAC) hotspotMacKey   { return hotspotMacKey{Addr: m} }
func macFromWire(k hotspotMacKey) dataplane.MAC { return k.Addr }
func addrToWire(a netip.Addr) hotspotAddrKey    { return hotspotAddrKey{Addr: addrBytes(a)} }

// addrBytes is the IPv6 address, or the IPv4 one mapped into ::ffff:0:0/96; all
// zero for the zero Addr.
func addrBytes(a netip.Addr) [16]byte {
	if !a.IsValid() {
		return [16]byte{}
	}
	return a.As16()
}

func prefixToWire(p netip.Prefix) hotspotPrefixKey {
	p = p.Masked()
	bits := p.Bits()
	if p.Addr().Is4() {
		bits += 96
	}
	return hotspotPrefixKey{PrefixLen: uint32(bits), Addr: p.Addr().As16()}
}

func portalToWire(p dataplane.Portal) hotspotPortalKey {
	protocol := uint8(unix.IPPROTO_TCP)
	if p.Protocol == "udp" {
		protocol = unix.IPPROTO_UDP
	}
	return hotspotPortalKey{Addr: addrBytes(p.Addr), PortBe: toBigEndian(p.Port), Protocol: protocol}
}

func ruleToWire(r dataplane.Rule) (hotspotRule, error) {
	w := hotspotRule{
		Account:    uint64(r.Account),
		LimitBytes: r.LimitBytes,
		DeadlineNs: uint64(r.Deadline),
		Verdict:    uint32(r.Verdict),
		BoundBe:    binary.NativeEndian.Uint32(r.Bound[:]),
	}
	if r.Deadline == 0 {
		w.DeadlineNs = dataplane.NoLimit
	}
	down, err := newSpeed("DownBPS", r.DownBPS)
	if err != nil {
		return w, err
	}
	up, err := newSpeed("UpBPS", r.UpBPS)
	if err != nil {
		return w, err
	}
	for dir, s := range [directions]speed{upload: up, download: down} {
		w.Speed[dir].BitPerS = s.bitPerS
		w.Speed[dir].RateNsPerByte = s.rateNsPerByte
		w.Speed[dir].BurstNs = s.burstNs
	}
	return w, nil
}

func ruleFromWire(w hotspotRule) dataplane.Rule {
	r := dataplane.Rule{
		Verdict:    dataplane.Verdict(w.Verdict),
		Account:    dataplane.Account(w.Account),
		LimitBytes: w.LimitBytes,
		DownBPS:    w.Speed[download].BitPerS,
		UpBPS:      w.Speed[upload].BitPerS,
	}
	binary.NativeEndian.PutUint32(r.Bound[:], w.BoundBe)
	if w.DeadlineNs != dataplane.NoLimit {
		r.Deadline = boottimeFromWire(w.DeadlineNs)
	}
	return r
}

func eventFromWire(e *hotspotEvent) dataplane.Event {
	return dataplane.Event{
		Kind:    dataplane.EventKind(e.Kind),
		MAC:     macFromWire(e.Mac),
		Account: dataplane.Account(e.Account),
		At:      boottimeFromWire(e.AtNs),
	}
}

func boottimeFromWire(ns uint64) dataplane.Boottime {
	return dataplane.Boottime(min(ns, math.MaxInt64))
}

// toBigEndian returns the number whose bytes in memory are v in network order.
func toBigEndian(v uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, v))
}
