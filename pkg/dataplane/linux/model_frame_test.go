// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"encoding/binary"
	"net/netip"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
)

// What a frame is, by the standards of its protocols, for the model of the rules. It
// shares nothing with the way in which the programs read a frame.

// Numbers of IEEE 802 and IANA.
const (
	typeIPv4    = 0x0800
	typeARP     = 0x0806
	typeVLAN    = 0x8100
	typeIPv6    = 0x86dd
	typeQinQ    = 0x88a8
	typeSession = 0x8864 // PPPoE
	typeEAPOL   = 0x888e

	nextHopByHop = 0
	nextICMP     = 1
	nextIPv4     = 4
	nextTCP      = 6
	nextUDP      = 17
	nextIPv6     = 41
	nextRouting  = 43
	nextFragment = 44
	nextGRE      = 47
	nextICMPv6   = 58
	nextOptions  = 60
)

// reading is how far a frame can be read.
type reading int

const (
	readable      reading = iota
	badLink               // no frame of any station
	badNetworking         // says IP, and is not
)

// dissection is a frame in parts.
type dissection struct {
	from, to    dataplane.MAC
	vlan        vlan // of the outermost tag that has one
	ethertype   uint16
	link        int    // bytes that follow the link header
	network     []byte // them; of IP without the padding
	ip          int    // version, or 0
	source      netip.Addr
	destination netip.Addr
	protocol    byte
	hops        byte
	fragment    bool
	// onward: something in it may send the packet elsewhere than its address says.
	onward    bool
	transport []byte // what follows the IP header
}

// vlan is which VLAN a frame is of. The zero vlan is none: a tag of id 0 has only a priority.
type vlan struct{ protocol, id uint16 }

// isLinkControl reports whether m is an address of IEEE 802.1Q table 8-1, that no bridge forwards.
func isLinkControl(m dataplane.MAC) bool {
	return [5]byte(m[:5]) == [5]byte{0x01, 0x80, 0xc2, 0, 0} && m[5] < 16
}

// isGroup reports whether m is a multicast or broadcast address.
func isGroup(m dataplane.MAC) bool { return m[0]&1 == 1 }

// dissect reads a frame.
func dissect(frame []byte, super bool) (dissection, reading) {
	var d dissection
	copy(d.to[:], frame[0:6])
	copy(d.from[:], frame[6:12])
	d.ethertype, frame = binary.BigEndian.Uint16(frame[12:]), frame[14:]
	for range 2 {
		if d.ethertype != typeVLAN && d.ethertype != typeQinQ {
			break
		}
		if len(frame) < 4 {
			return d, badLink
		}
		if id := binary.BigEndian.Uint16(frame) & 0xfff; id != 0 && d.vlan == (vlan{}) {
			d.vlan = vlan{d.ethertype, id}
		}
		d.ethertype, frame = binary.BigEndian.Uint16(frame[2:]), frame[4:]
	}
	d.link, d.network = len(frame), frame
	sane := true
	switch {
	case isGroup(d.from):
		return d, badLink
	case d.ethertype == typeIPv4:
		sane = d.readIPv4(super)
	case d.ethertype == typeIPv6:
		sane = d.readIPv6(super)
	}
	if !sane {
		return d, badNetworking
	}
	return d, readable
}

// readIPv4 is RFC 791. The length of a super-packet is that of the frame.
func (d *dissection) readIPv4(super bool) bool {
	if len(d.network) < 20 || d.network[0]>>4 != 4 {
		return false
	}
	header, total := int(d.network[0]&15)*4, int(binary.BigEndian.Uint16(d.network[2:]))
	if super {
		total = len(d.network)
	}
	if header < 20 || total < header || total > len(d.network) {
		return false
	}
	d.ip, d.network = 4, d.network[:total]
	d.addressIPv4(header)
	return true
}

// addressIPv4 reads a header that is as long.
func (d *dissection) addressIPv4(header int) {
	d.source, d.destination = netip.AddrFrom4([4]byte(d.network[12:])), netip.AddrFrom4([4]byte(d.network[16:]))
	d.hops, d.protocol = d.network[8], d.network[9]
	d.fragment = binary.BigEndian.Uint16(d.network[6:])&0x3fff != 0 // more of them, or an offset
	d.onward = header > 20
	d.transport = d.network[min(header, len(d.network)):]
}

// readIPv6 is RFC 8200.
func (d *dissection) readIPv6(super bool) bool {
	if len(d.network) < 40 || d.network[0]>>4 != 6 {
		return false
	}
	payload := int(binary.BigEndian.Uint16(d.network[4:]))
	jumbogram := payload == 0 && d.network[6] == nextHopByHop // RFC 2675
	if super || jumbogram {
		payload = len(d.network) - 40
	}
	if 40+payload > len(d.network) {
		return false
	}
	d.ip, d.network = 6, d.network[:40+payload]
	return d.addressIPv6()
}

// addressIPv6 reads a header. Nothing is in ::/64 but what no packet may go to or come
// from: the loopback, and IPv4 in other clothes (RFC 4291, 2.5). Only a host without an
// address yet is there, as a source.
func (d *dissection) addressIPv6() bool {
	source, destination := netip.AddrFrom16([16]byte(d.network[8:])), netip.AddrFrom16([16]byte(d.network[24:]))
	nowhere := netip.MustParsePrefix("::/64")
	if nowhere.Contains(destination) || (nowhere.Contains(source) && source != netip.IPv6Unspecified()) {
		return false
	}
	d.source, d.destination = source, destination
	d.protocol, d.hops = d.network[6], d.network[7]
	d.fragment = d.protocol == nextFragment
	d.onward = d.protocol == nextHopByHop || d.protocol == nextRouting || d.protocol == nextOptions
	d.transport = d.network[40:]
	return true
}

// quoted reads the packet that an ICMP error is about, as far as it is there.
func (d *dissection) quoted() (dissection, bool) {
	const header = 8 // of the error
	if len(d.transport) < header {
		return dissection{}, false
	}
	q := dissection{ip: d.ip, network: d.transport[header:]}
	if d.ip == 4 {
		return q, q.readQuotedIPv4()
	}
	return q, q.readQuotedIPv6()
}

func (d *dissection) readQuotedIPv4() bool {
	if len(d.network) < 20 || d.network[0]>>4 != 4 || d.network[0]&15 < 5 {
		return false
	}
	header := int(d.network[0]&15) * 4
	d.addressIPv4(header)
	return true
}

func (d *dissection) readQuotedIPv6() bool {
	return len(d.network) >= 40 && d.network[0]>>4 == 6 && d.addressIPv6()
}

// ports are those of UDP and TCP.
func (d *dissection) ports() (source, destination uint16, ok bool) {
	if (d.protocol != nextUDP && d.protocol != nextTCP) || len(d.transport) < 4 {
		return 0, 0, false
	}
	return binary.BigEndian.Uint16(d.transport), binary.BigEndian.Uint16(d.transport[2:]), true
}

// onWire is what the frame is on the wire: its bytes of IP, those of the first segment,
// and how many segments it stands for.
func (d *dissection) onWire(gso int) (bytes, first, segments int) {
	headers := len(d.network) - len(d.transport) + headersOf(d.protocol, d.transport, 5)
	payload := len(d.network) - headers
	if gso == 0 || d.ip == 0 || payload <= gso {
		return len(d.network), len(d.network), 1
	}
	segments = (payload + gso - 1) / gso
	return payload + segments*headers, headers + gso, segments
}

// headerOfGRE is RFC 2890, around IP.
func headerOfGRE(b []byte) (length int, next byte) {
	inside := map[uint16]byte{typeIPv4: nextIPv4, typeIPv6: nextIPv6}
	next, ok := inside[binary.BigEndian.Uint16(b[2:])]
	if !ok {
		return 0, 0
	}
	length = 4
	for _, flag := range []byte{0x80, 0x20, 0x10} { // checksum, key, sequence number
		if b[0]&flag != 0 {
			length += 4
		}
	}
	return length, next
}

// headersOf is the length of all headers from one of a protocol on, through as many
// others as are left to look through.
func headersOf(protocol byte, b []byte, left int) int {
	switch {
	case protocol == nextUDP:
		return 8
	case protocol == nextTCP && len(b) > 12:
		return int(b[12]>>4) * 4
	case left == 0 || len(b) < 8:
		return 0
	}
	length, next := 0, byte(0)
	switch protocol {
	case nextHopByHop, nextRouting, nextOptions:
		length, next = (int(b[1])+1)*8, b[0]
	case nextIPv4:
		length = int(b[0]&15) * 4
		if len(b) > 9 {
			next = b[9]
		}
	case nextIPv6:
		length, next = 40, b[6]
	case nextGRE:
		length, next = headerOfGRE(b)
	}
	if length == 0 {
		return 0
	}
	if length > len(b) {
		return length
	}
	return length + headersOf(next, b[length:], left-1)
}
