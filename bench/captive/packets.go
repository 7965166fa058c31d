// SPDX-License-Identifier: Apache-2.0

package captive

import (
	"encoding/binary"
	"net"
	"net/netip"
	"slices"

	"github.com/hotspot-agent/hotspot-agent/internal/lab"
)

const (
	ethernetBytes = 14
	tcpBytes      = 20
	udpBytes      = 8
	protocolTCP   = 6
	protocolUDP   = 17

	flagFIN = 1
	flagSYN = 2
	flagPSH = 8
	flagACK = 16
)

// station is a device without a host, and the addresses of its packets.
type station struct {
	mac, router net.HardwareAddr
	from        netip.Addr
	to          netip.Addr
}

// segment is a TCP segment without options.
type segment struct {
	source, dest uint16
	seq, ack     uint32
	flags        byte
	payload      []byte
}

func (s station) tcp(g segment) []byte {
	b := make([]byte, tcpBytes, tcpBytes+len(g.payload))
	binary.BigEndian.PutUint16(b, g.source)
	binary.BigEndian.PutUint16(b[2:], g.dest)
	binary.BigEndian.PutUint32(b[4:], g.seq)
	binary.BigEndian.PutUint32(b[8:], g.ack)
	b[12], b[13] = tcpBytes/4<<4, g.flags
	binary.BigEndian.PutUint16(b[14:], 65535)
	return s.frame(protocolTCP, append(b, g.payload...), 16)
}

func (s station) udp(dest uint16, payload []byte) []byte {
	b := make([]byte, udpBytes, udpBytes+len(payload))
	binary.BigEndian.PutUint16(b, lab.EmulatedPort)
	binary.BigEndian.PutUint16(b[2:], dest)
	binary.BigEndian.PutUint16(b[4:], uint16(udpBytes+len(payload)))
	return s.frame(protocolUDP, append(b, payload...), 6)
}

// frame has the packet's checksum at that place of it; with 0 it has none.
func (s station) frame(protocol byte, packet []byte, checksumAt int) []byte {
	pseudo := append(append(s.from.AsSlice(), s.to.AsSlice()...), 0, 0, byte(len(packet)>>8), byte(len(packet)), 0, 0, 0, protocol)
	if checksumAt > 0 {
		sum := slices.Concat(pseudo, packet)
		if len(sum)%2 != 0 {
			sum = append(sum, 0)
		}
		binary.BigEndian.PutUint16(packet[checksumAt:], lab.InternetChecksum(sum))
	}
	return append(append(s.ethernet(), s.ip(protocol, len(packet))...), packet...)
}

func (s station) ethernet() []byte {
	const typeIPv4, typeIPv6 = 0x0800, 0x86dd
	kind := uint16(typeIPv4)
	if s.from.Is6() {
		kind = typeIPv6
	}
	return binary.BigEndian.AppendUint16(append(append([]byte(nil), s.router...), s.mac...), kind)
}

func (s station) ip(protocol byte, payload int) []byte {
	const ttl = 64
	if s.from.Is6() {
		ip := append([]byte{0x60, 0, 0, 0, byte(payload >> 8), byte(payload), protocol, ttl}, s.from.AsSlice()...)
		return append(ip, s.to.AsSlice()...)
	}
	bytes := 20 + payload
	ip := append([]byte{0x45, 0, byte(bytes >> 8), byte(bytes), 0, 0, 0, 0, ttl, protocol, 0, 0}, s.from.AsSlice()...)
	ip = append(ip, s.to.AsSlice()...)
	binary.BigEndian.PutUint16(ip[10:], lab.InternetChecksum(ip))
	return ip
}

// ipBytes is the length of the packet in a frame, without the frame's padding.
func ipBytes(frame []byte) int {
	if frame[12] == 0x08 {
		return int(binary.BigEndian.Uint16(frame[ethernetBytes+2:]))
	}
	return 40 + int(binary.BigEndian.Uint16(frame[ethernetBytes+4:]))
}
