// SPDX-License-Identifier: Apache-2.0

package flood

import (
	"encoding/binary"
	"net"
	"net/netip"

	"github.com/hotspot-agent/hotspot-agent/internal/lab"
)

const (
	ethernet = 14
	ipv4     = 20
	ipv6     = 40
	udp      = 8
)

// The IP packet of a query, as long as a tunnel would have it, and as short as a name.
const (
	longQuery  = 1228
	shortQuery = 64
)

// unpaidAddr is the address of all that did not pay.
const unpaidAddr = "10.77.0.250"

// senders is how many addresses ask for the router, each from many MACs. The kernel's
// table of neighbours is one for all its namespaces: to overflow it hurts the whole machine.
const senders = 200

var (
	broadcast  = net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	unknownMAC = net.HardwareAddr{0x02, 0xdd, 0, 0, 0, 0}
)

// kind is one way to flood.
type kind struct {
	name   string
	frame  func(k *lab.Kiosk) []byte
	change func(n uint64, frame []byte) // beside its source MAC
}

var kinds = []kind{
	{"macs", toInternet, func(uint64, []byte) {}},
	{"arp", arpRequest, func(n uint64, frame []byte) {
		copy(frame[ethernet+8:], frame[6:12])
		frame[ethernet+17] = byte(n % senders)
	}},
	{"dhcp", discover, func(n uint64, frame []byte) {
		message := frame[ethernet+ipv4+udp:]
		binary.BigEndian.PutUint32(message[4:], uint32(n))
		copy(message[28:], frame[6:12])
	}},
	{"nd", solicit, func(n uint64, frame []byte) {
		frame[ethernet+23] = byte(n % senders)
		copy(frame[ethernet+ipv6+26:], frame[6:12])
		sumICMPv6(frame[ethernet:])
	}},
	{"dns", query(longQuery), func(uint64, []byte) {}},
	{"short dns", query(shortQuery), func(uint64, []byte) {}},
}

// ofDNS are the floods in which unpaid devices use up their common budget.
var ofDNS = []string{"dns", "short dns"}

// from gives the frame the source MAC of that number.
func from(n uint64, frame []byte) {
	copy(frame[6:], unknownMAC[:2])
	binary.BigEndian.PutUint32(frame[8:], uint32(n))
}

func link(to net.HardwareAddr, ethertype uint16, bytes int) []byte {
	frame := make([]byte, ethernet+bytes)
	copy(frame, to)
	copy(frame[6:], unknownMAC)
	binary.BigEndian.PutUint16(frame[12:], ethertype)
	return frame
}

// datagram is a frame with UDP over IPv4 and no UDP checksum.
func datagram(mac net.HardwareAddr, from, to string, fromPort, toPort uint16, payload int) []byte {
	frame := link(mac, 0x0800, ipv4+udp+payload)
	ip := frame[ethernet:]
	ip[0], ip[8], ip[9] = 0x45, 64, 17
	binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)))
	copy(ip[12:], netip.MustParseAddr(from).AsSlice())
	copy(ip[16:], netip.MustParseAddr(to).AsSlice())
	binary.BigEndian.PutUint16(ip[10:], lab.InternetChecksum(ip[:ipv4]))
	binary.BigEndian.PutUint16(ip[ipv4:], fromPort)
	binary.BigEndian.PutUint16(ip[ipv4+2:], toPort)
	binary.BigEndian.PutUint16(ip[ipv4+4:], uint16(len(ip)-ipv4))
	return frame
}

func toInternet(k *lab.Kiosk) []byte {
	return datagram(k.Router.MAC, unpaidAddr, lab.Server4, lab.EmulatedPort, lab.EmulatedPort, 36)
}

func query(ipBytes int) func(*lab.Kiosk) []byte {
	return func(k *lab.Kiosk) []byte {
		return datagram(k.Router.MAC, unpaidAddr, lab.RouterLAN4, 40000, portDNS, ipBytes-ipv4-udp)
	}
}

// discover is a DHCPDISCOVER without options but its type (RFC 2131).
func discover(*lab.Kiosk) []byte {
	frame := datagram(broadcast, "0.0.0.0", "255.255.255.255", 68, 67, 244)
	message := frame[ethernet+ipv4+udp:]
	message[0], message[1], message[2] = 1, 1, 6
	copy(message[236:], []byte{0x63, 0x82, 0x53, 0x63, 53, 1, 1, 0xff})
	return frame
}

// arpRequest asks for the MAC of the router, with another sender each time.
func arpRequest(*lab.Kiosk) []byte {
	frame := link(broadcast, 0x0806, 46)
	copy(frame[ethernet:], []byte{0, 1, 8, 0, 6, 4, 0, 1})
	copy(frame[ethernet+14:], netip.MustParseAddr("10.79.0.0").AsSlice())
	copy(frame[ethernet+24:], netip.MustParseAddr(lab.RouterLAN4).AsSlice())
	return frame
}

// solicit is a neighbour solicitation for the router (RFC 4861), with another sender
// each time.
func solicit(k *lab.Kiosk) []byte {
	const message = 32
	frame := link(k.Router.MAC, 0x86dd, ipv6+message)
	ip := frame[ethernet:]
	ip[0], ip[5], ip[6], ip[7] = 0x60, message, 58, 255
	copy(ip[8:], netip.MustParseAddr("fd77::f00").AsSlice())
	copy(ip[24:], netip.MustParseAddr(lab.RouterLAN6).AsSlice())
	ip[ipv6] = 135
	copy(ip[ipv6+8:], netip.MustParseAddr(lab.RouterLAN6).AsSlice())
	ip[ipv6+24], ip[ipv6+25] = 1, 1 // the sender's MAC follows
	return frame
}

// sumICMPv6 sets the checksum of a packet: over its addresses, its length and what is in it.
func sumICMPv6(ip []byte) {
	message := ip[ipv6:]
	message[2], message[3] = 0, 0
	var pseudo [8]byte
	pseudo[3], pseudo[7] = byte(len(message)), 58
	all := append(append(pseudo[:], ip[8:ipv6]...), message...)
	binary.BigEndian.PutUint16(message[2:], lab.InternetChecksum(all))
}
