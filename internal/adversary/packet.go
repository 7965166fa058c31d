// SPDX-License-Identifier: Apache-2.0

package adversary

import (
	"encoding/binary"
	"net/netip"
	"slices"
)

// Numbers of IEEE 802 and IANA.
const (
	typeIPv4      = 0x0800
	typeARP       = 0x0806
	typeVLAN      = 0x8100
	typeIPv6      = 0x86dd
	typeMPLS      = 0x8847
	typeMPLSGroup = 0x8848
	typeDiscovery = 0x8863 // PPPoE
	typeSession   = 0x8864 // PPPoE
	typePause     = 0x8808
	typeSlow      = 0x8809 // LACP
	typeEAPOL     = 0x888e
	typeQinQ      = 0x88a8
	typeLLDP      = 0x88cc

	hopByHop    = 0
	icmp        = 1
	igmp        = 2
	ipInIP      = 4
	tcp         = 6
	udp         = 17
	ipv6InIP    = 41
	routing     = 43
	fragment    = 44
	gre         = 47
	esp         = 50
	ah          = 51
	icmpv6      = 58
	noNext      = 59
	destination = 60
	sctp        = 132
	mobility    = 135
	udpLite     = 136
)

// join puts headers and payload one after the other.
func join(parts ...[]byte) []byte { return slices.Concat(parts...) }

func word(n int) []byte { return binary.BigEndian.AppendUint16(nil, uint16(n)) }

// packet4 is an IPv4 packet, with the options and the fragment field that its maker wants.
type packet4 struct {
	from, to netip.Addr
	protocol byte
	flags    int // and the offset of a fragment
	options  []byte
	payload  []byte
}

func (p packet4) bytes() []byte {
	length := 20 + len(p.options) + len(p.payload)
	header := join([]byte{0x45 + byte(len(p.options)/4), 0}, word(length), word(77), word(p.flags),
		[]byte{64, p.protocol, 0, 0}, p.from.AsSlice(), p.to.AsSlice(), p.options)
	binary.BigEndian.PutUint16(header[10:], checksum(header))
	return join(header, p.payload)
}

func checksum(b []byte) uint16 {
	var sum uint32
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(b[i])<<8 | uint32(b[i+1])
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// packet6 is an IPv6 packet, its payload with all extension headers.
type packet6 struct {
	from, to netip.Addr
	next     byte
	hops     byte // 0: 64
	payload  []byte
}

func (p packet6) bytes() []byte {
	if p.hops == 0 {
		p.hops = 64
	}
	return join([]byte{0x60, 0, 0, 0}, word(len(p.payload)), []byte{p.next, p.hops}, p.from.AsSlice(), p.to.AsSlice(), p.payload)
}

func datagram(from, to int, payload string) []byte {
	return join(word(from), word(to), word(8+len(payload)), word(0), []byte(payload))
}

// segment is a SYN with data.
func segment(from, to int, payload string) []byte {
	return join(word(from), word(to), make([]byte, 8), []byte{0x50, 0x02, 1, 0, 0, 0, 0, 0}, []byte(payload))
}

// extension is an IPv6 extension header of 8 bytes: options are padding, a routing
// header has no segments left, a fragment is the only one.
func extension(next byte) []byte { return []byte{next, 0, 1, 0, 0, 0, 0, 0} }

// piece is an IPv6 fragment header of UDP.
func piece(offset, more int) []byte {
	return join([]byte{udp, 0}, word(offset<<3|more), []byte{0, 0, 0, 77})
}
