// SPDX-License-Identifier: Apache-2.0

package adversary

import (
	"net"
	"net/netip"
	"slices"
)

// Attacks are frames that a router should do nothing with, or answer itself.
func (d *Device) Attacks() []Attack {
	return slices.Concat(d.encapsulated(), d.spoofed(), d.rerouted(), d.preAuth(), d.quoted(), d.broken(), d.groups(), d.control(), d.vlans(), d.ForgedAnswers())
}

// GardenName is the name whose DNS answers are forged.
const GardenName = "pay.example"

// ForgedAnswers are DNS answers in the router's name, to this device and to the one that is
// connected: that GardenName has the server's addresses.
func (d *Device) ForgedAnswers() []Attack {
	record := func(kind byte, addr netip.Addr) []byte {
		data := addr.AsSlice()
		return join([]byte{0xc0, 12, 0, kind, 0, 1, 0, 0, 3, 132}, word(len(data)), data)
	}
	answer := join([]byte{0, 7, 0x81, 0x80, 0, 1, 0, 2, 0, 0, 0, 0}, []byte("\x03pay\x07example\x00"), []byte{0, 1, 0, 1},
		record(1, d.Server4), record(28, d.Server6))
	of4 := func(to netip.Addr, protocol byte, payload []byte) []byte {
		return packet4{from: d.Router4, to: to, protocol: protocol, payload: payload}.bytes()
	}
	of6 := func(to netip.Addr, payload []byte) []byte {
		return packet6{from: d.Router6, to: to, next: udp, payload: payload}.bytes()
	}
	message := datagram(53, 40000, string(answer))
	opening := join(word(53), word(40000), make([]byte, 8), []byte{0x50, 0x12, 1, 0, 0, 0, 0, 0})
	data := join(word(53), word(40000), []byte{0, 0, 0, 1, 0, 0, 0, 0}, []byte{0x50, 0x18, 1, 0, 0, 0, 0, 0}, word(len(answer)), answer)
	return []Attack{
		{"forged answer to itself", d.ether(typeIPv4, of4(d.Addr4, udp, message))},
		{"forged answer to itself over IPv6", d.ether(typeIPv6, of6(d.Addr6, message))},
		{"forged answer to another device", d.ether(typeIPv4, of4(d.Paid4, udp, message))},
		{"forged answer to another device over IPv6", d.ether(typeIPv6, of6(d.Paid6, message))},
		{"forged answer on its way to another device", join(d.Paid, d.MAC, word(typeIPv4), of4(d.Paid4, udp, message))},
		{"forged connection", d.ether(typeIPv4, of4(d.Paid4, tcp, opening))},
		{"forged answer over TCP", d.ether(typeIPv4, of4(d.Paid4, tcp, data))},
	}
}

// encapsulated have IP in another protocol of the link.
func (d *Device) encapsulated() []Attack {
	ip := packet4{from: d.Addr4, to: d.Server4, protocol: udp, payload: datagram(53000, 53, secret)}.bytes()
	snap := []byte{0xaa, 0xaa, 3, 0, 0, 0, 8, 0}
	return []Attack{
		{"LLC/SNAP", d.ether(len(snap)+len(ip), snap, ip)},
		{"LLC", d.ether(3+len(ip), []byte{6, 6, 3}, ip)}, // the number of IP in 802.2
		{"MPLS", d.ether(typeMPLS, []byte{0, 1, 1, 64}, ip)},
		{"MPLS to a group", d.ether(typeMPLSGroup, []byte{0, 1, 1, 64}, ip)},
		{"PPPoE session", d.ether(typeSession, []byte{0x11, 0, 0, 1}, word(2+len(ip)), word(0x21), ip)},
		{"PPPoE discovery", d.ether(typeDiscovery, []byte{0x11, 9, 0, 0}, word(len(secret)), []byte(secret))},
		{"VLAN 5", d.ether(typeVLAN, word(5), word(typeIPv4), ip)},
		{"802.1ad", d.ether(typeQinQ, word(5), word(typeVLAN), word(0), word(typeIPv4), ip)},
		{"three tags", d.ether(typeVLAN, word(0), word(typeVLAN), word(0), word(typeVLAN), word(0), word(typeIPv4), ip)},
		{"unknown ethertype", d.ether(0x88b5, ip)},
		{"GRE to the router", d.ether(typeIPv4, packet4{from: d.Addr4, to: d.Router4, protocol: gre, payload: join([]byte{0, 0, 8, 0}, ip)}.bytes())},
		{"IP in IP to the router", d.ether(typeIPv4, packet4{from: d.Addr4, to: d.Router4, protocol: ipInIP, payload: ip}.bytes())},
	}
}

// spoofed come from or go to others than they should.
func (d *Device) spoofed() []Attack {
	zero, all := make(net.HardwareAddr, 6), net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	group := net.HardwareAddr{1, 0, 0x5e, 0, 0, 1}
	frame := d.to4(udp, datagram(53000, 40000, secret))
	from := func(mac net.HardwareAddr) []byte { return join(d.Router, mac, frame[12:]) }
	to := func(mac net.HardwareAddr) []byte { return join(mac, d.MAC, frame[12:]) }
	paid4 := packet4{from: d.Paid4, to: d.Server4, protocol: udp, payload: datagram(53000, 40000, secret)}
	paid6 := packet6{from: d.Paid6, to: d.Server6, next: udp, payload: datagram(53000, 40000, secret)}
	return []Attack{
		{"a multicast MAC", from(group)},
		{"the broadcast MAC", from(all)},
		{"the zero MAC", from(zero)},
		{"the router's own MAC", from(d.Router)},
		{"an unknown MAC", from(net.HardwareAddr{2, 0, 0, 0, 0, 9})},
		{"to the broadcast MAC", to(all)},
		{"to a multicast MAC", to(group)},
		{"to the zero MAC", to(zero)},
		{"to its own MAC", to(d.MAC)},
		{"a connected device's IP", d.ether(typeIPv4, paid4.bytes())},
		{"a connected device's IPv6", d.ether(typeIPv6, paid6.bytes())},
	}
}

// rerouted have addresses that lead elsewhere than they seem to.
func (d *Device) rerouted() []Attack {
	mapped := func(a netip.Addr) netip.Addr { return netip.AddrFrom16(a.As16()) }
	to6 := func(to netip.Addr, port int) []byte {
		return d.ether(typeIPv6, packet6{from: d.Addr6, to: to, next: tcp, payload: segment(40000, port, secret)}.bytes())
	}
	to4 := func(to netip.Addr, options ...byte) []byte {
		return d.ether(typeIPv4, packet4{from: d.Addr4, to: to, protocol: udp, options: options, payload: datagram(53000, 53, secret)}.bytes())
	}
	server := d.Server4.As4()
	route := func(kind byte) []byte {
		return to4(d.Router4, kind, 7, 4, server[0], server[1], server[2], server[3], 0)
	}
	segments := func(kind byte) []byte {
		header := join([]byte{tcp, 2, kind, 1, 0, 0, 0, 0}, d.Server6.AsSlice())
		return d.ether(typeIPv6, packet6{from: d.Addr6, to: d.Router6, next: routing, payload: join(header, segment(40000, 53, secret))}.bytes())
	}
	network := d.Router6.As16()
	clear(network[8:])
	return []Attack{
		{"the router's IPv4 address as IPv6, DNS", to6(mapped(d.Router4), 53)},
		{"the router's IPv4 address as IPv6, portal", to6(mapped(d.Router4), 8080)},
		{"the server's IPv4 address as IPv6", to6(mapped(d.Server4), 53)},
		{"the unspecified address, portal", to6(netip.IPv6Unspecified(), 8080)},
		{"the unspecified address, DNS", to6(netip.IPv6Unspecified(), 53)},
		{"the loopback", to6(netip.IPv6Loopback(), 53)},
		{"the routers of the network", to6(netip.AddrFrom16(network), 53)},
		{"0.0.0.0", to4(netip.IPv4Unspecified())},
		{"127.0.0.1", to4(netip.MustParseAddr("127.0.0.1"))},
		{"255.255.255.255", to4(netip.MustParseAddr("255.255.255.255"))},
		{"loose source route by the router", route(131)},
		{"strict source route by the router", route(137)},
		{"routing header 0 by the router", segments(0)},
		{"routing header 2 by the router", segments(2)},
		{"RPL by the router", segments(3)},
		{"segment routing by the router", segments(4)},
	}
}

// preAuth are of protocols that pass before payment, with another payload in them.
func (d *Device) preAuth() []Attack {
	arp := func(operation int, payload string) []byte {
		return d.ether(typeARP, []byte{0, 1, 8, 0, 6, 4}, word(operation), d.MAC, d.Addr4.AsSlice(), d.Router, d.Server4.AsSlice(), []byte(payload))
	}
	all4 := netip.MustParseAddr("255.255.255.255")
	dhcp := packet4{from: netip.IPv4Unspecified(), to: all4, protocol: udp, payload: datagram(68, 67, long)}
	dhcp6 := packet6{from: d.Addr6, to: netip.MustParseAddr("ff02::1:2"), next: udp, payload: datagram(546, 547, long)}
	nd := func(kind byte) []byte {
		return d.ether(typeIPv6, packet6{from: d.Addr6, to: netip.MustParseAddr("ff02::1"), next: icmpv6, hops: 255,
			payload: join([]byte{kind, 0, 0, 0}, []byte(long))}.bytes())
	}
	toRouter := func(protocol byte, flags int, payload []byte) []byte {
		return d.ether(typeIPv4, packet4{from: d.Addr4, to: d.Router4, protocol: protocol, flags: flags, payload: payload}.bytes())
	}
	return []Attack{
		{"ARP request for the server", arp(1, "")},
		{"ARP tunnel, request", arp(1, long)},
		{"ARP tunnel, reply", arp(2, long)},
		{"reverse ARP", arp(3, long)},
		{"EAPOL with a payload", d.ether(typeEAPOL, []byte{1, 0}, word(len(long)), []byte(long))},
		{"DHCP with a payload", d.ether(typeIPv4, dhcp.bytes())},
		{"DHCPv6 with a payload", d.ether(typeIPv6, dhcp6.bytes())},
		{"router solicitation with a payload", nd(133)},
		{"router advertisement", nd(134)},
		{"neighbour solicitation with a payload", nd(135)},
		{"neighbour advertisement with a payload", nd(136)},
		{"redirect", nd(137)},
		{"ping tunnel to the router", toRouter(icmp, 0, join([]byte{8, 0, 0, 0}, []byte(long)))},
		{"DNS to the router with a payload", toRouter(udp, 0, datagram(53000, 53, long))},
		{"DNS to the router in a fragment", toRouter(udp, 0x2000, datagram(53000, 53, long))},
		{"DNS to the router over TCP", toRouter(tcp, 0, segment(53000, 53, long))},
	}
}

// quoted are ICMP errors, to the server and to the router, whose quote is of a flow that is open
// before payment, with a payload behind it.
func (d *Device) quoted() []Attack {
	dns4 := packet4{from: d.Router4, to: d.Addr4, protocol: udp, payload: datagram(53, 53000, long)}.bytes()
	dns6 := packet6{from: d.Router6, to: d.Addr6, next: udp, payload: datagram(53, 53000, long)}.bytes()
	portal := packet4{from: d.Router4, to: d.Addr4, protocol: tcp, payload: segment(8080, 40000, secret)}.bytes()
	own := packet4{from: d.Addr4, to: d.Router4, protocol: udp, payload: datagram(53000, 53, secret)}.bytes()
	error4 := func(to netip.Addr, kind byte, quote []byte) []byte {
		payload := join([]byte{kind, 4, 0, 0, 0, 0, 5, 0x78}, quote)
		return d.ether(typeIPv4, packet4{from: d.Addr4, to: to, protocol: icmp, payload: payload}.bytes())
	}
	error6 := func(to netip.Addr, kind byte, quote []byte) []byte {
		payload := join([]byte{kind, 0, 0, 0, 0, 0, 5, 0x78}, quote)
		return d.ether(typeIPv6, packet6{from: d.Addr6, to: to, next: icmpv6, payload: payload}.bytes())
	}
	return []Attack{
		{"fragmentation needed, about DNS", error4(d.Server4, 3, dns4[:548])},
		{"fragmentation needed, longer than an error", error4(d.Server4, 3, dns4)},
		{"time exceeded, about the portal", error4(d.Server4, 11, portal)},
		{"parameter problem, about its own query", error4(d.Server4, 12, own)},
		{"packet too big, about DNS", error6(d.Server6, 2, dns6[:1232])},
		{"packet too big, longer than an error", error6(d.Server6, 2, dns6)},
		{"unreachable to the router, about DNS", error4(d.Router4, 3, dns4[:548])},
		{"unreachable to the router over IPv6", error6(d.Router6, 1, dns6[:1232])},
	}
}

// control go to the addresses of link control, which pass unmetered: with what is at home
// there, and with what is not.
func (d *Device) control() []Attack {
	plain := datagram(53000, 40000, secret)
	ip4 := packet4{from: d.Addr4, to: d.Server4, protocol: udp, payload: plain}.bytes()
	ip6 := packet6{from: d.Addr6, to: d.Server6, next: udp, payload: plain}.bytes()
	lookup := packet4{from: d.Addr4, to: d.Router4, protocol: udp, payload: datagram(53000, 53, long)}.bytes()
	world := packet4{from: d.Addr4, to: netip.MustParseAddr("232.1.1.1"), protocol: udp, payload: plain}.bytes()
	to := func(last byte, ethertype int, parts ...[]byte) []byte {
		return join([]byte{1, 0x80, 0xc2, 0, 0, last}, d.MAC, word(ethertype), join(parts...))
	}
	return []Attack{
		{"spanning tree with a payload", to(0, 3+len(secret), []byte{0x42, 0x42, 3}, []byte(secret))},
		{"PAUSE with a payload", to(1, typePause, word(1), []byte(long))},
		{"LACP with a payload", to(2, typeSlow, []byte{1, 1}, []byte(long))},
		{"EAPOL to its group", to(3, typeEAPOL, []byte{1, 0}, word(len(long)), []byte(long))},
		{"LLDP with a payload", to(0x0e, typeLLDP, []byte(long))},
		{"IPv4 to the bridge's group", to(0, typeIPv4, ip4)},
		{"IPv4 to LLDP's group", to(0x0e, typeIPv4, ip4)},
		{"IPv6 to LLDP's group", to(0x0e, typeIPv6, ip6)},
		{"IPv4 in LLC/SNAP to the bridge's group", to(0, 8+len(ip4), []byte{0xaa, 0xaa, 3, 0, 0, 0, 8, 0}, ip4)},
		{"IPv4 with priority to LLDP's group", to(0x0e, typeVLAN, word(0xe000), word(typeIPv4), ip4)},
		{"IPv4 behind three priorities to LLDP's group", to(0x0e, typeVLAN, word(0), word(typeVLAN), word(0), word(typeVLAN), word(0), word(typeIPv4), ip4)},
		{"IPv4 in a VLAN to LLDP's group", to(0x0e, typeVLAN, word(5), word(typeIPv4), ip4)},
		{"DNS to LLDP's group", to(0x0e, typeIPv4, lookup)},
		{"a group of the world to LLDP's group", to(0x0e, typeIPv4, world)},
		{"PPPoE session to LLDP's group", to(0x0e, typeSession, []byte{0x11, 0, 0, 1}, word(2+len(ip4)), word(0x21), ip4)},
		{"the address after link control's", to(0x10, typeIPv4, ip4)},
	}
}

// vlans are of VLANs that the router has no device for, in and around priority tags.
func (d *Device) vlans() []Attack {
	ip := packet4{from: d.Addr4, to: d.Server4, protocol: udp, payload: datagram(53000, 53, secret)}.bytes()
	tags := func(rest ...[]byte) []byte { return d.ether(typeVLAN, join(rest...), ip) }
	return []Attack{
		{"VLAN 4094", tags(word(4094), word(typeIPv4))},
		{"VLAN 5 with a priority", tags(word(0xe005), word(typeIPv4))},
		{"VLAN 5 behind a priority", tags(word(0xe000), word(typeVLAN), word(5), word(typeIPv4))},
		{"a priority within VLAN 5", tags(word(5), word(typeVLAN), word(0xe000), word(typeIPv4))},
		{"VLAN 5 of 802.1ad behind a priority", tags(word(0), word(typeQinQ), word(5), word(typeIPv4))},
	}
}

// broken are cut off, or say what is not so.
func (d *Device) broken() []Attack {
	good4, good6 := d.to4(udp, datagram(53000, 53, secret)), d.to6(udp, datagram(53000, 53, secret))
	set := func(frame []byte, at int, values ...byte) []byte {
		changed := slices.Clone(frame)
		copy(changed[at:], values)
		return changed
	}
	return []Attack{
		{"nothing but the link header", good4[:14]},
		{"IPv4 of one byte", good4[:15]},
		{"half an IPv4 header", good4[:24]},
		{"IPv4 header without its last byte", good4[:33]},
		{"half an IPv6 header", good6[:34]},
		{"IPv6 header without its last byte", good6[:53]},
		{"IPv4 that says IPv6", set(good4, 14, 0x65)},
		{"IPv4 header of 16 bytes", set(good4, 14, 0x44)},
		{"IPv4 header of 60 bytes", set(good4, 14, 0x4f)},
		{"IPv4 longer than the frame", set(good4, 16, 0xff, 0xff)},
		{"IPv4 of length 0", set(good4, 16, 0, 0)},
		{"IPv6 longer than the frame", set(good6, 18, 0xff, 0xff)},
		{"IPv6 of length 0", set(good6, 18, 0, 0)},
		{"jumbogram without its length", set(d.to6(hopByHop, join(extension(udp), datagram(53000, 53, secret))), 18, 0, 0)},
		{"cut in a tag", d.ether(typeVLAN, []byte{0})},
		{"cut behind a tag", d.ether(typeVLAN, word(0), word(typeIPv4))},
	}
}

// groups are to many: of the link, of the network, and of more than that.
func (d *Device) groups() []Attack {
	to4 := func(addr string, protocol byte, payload []byte) []byte {
		to := netip.MustParseAddr(addr).As4()
		frame := d.ether(typeIPv4, packet4{from: d.Addr4, to: netip.AddrFrom4(to), protocol: protocol, payload: payload}.bytes())
		return join([]byte{1, 0, 0x5e, to[1] & 0x7f, to[2], to[3]}, frame[6:])
	}
	to6 := func(addr string, next byte, payload []byte) []byte {
		to := netip.MustParseAddr(addr).As16()
		frame := d.ether(typeIPv6, packet6{from: d.Addr6, to: netip.AddrFrom16(to), next: next, payload: payload}.bytes())
		return join([]byte{0x33, 0x33}, to[12:], frame[6:])
	}
	broadcast := d.Addr4.As4()
	broadcast[3] = 255
	return []Attack{
		{"mDNS", to4("224.0.0.251", udp, datagram(5353, 5353, long))},
		{"mDNS over IPv6", to6("ff02::fb", udp, datagram(5353, 5353, long))},
		{"SSDP", to4("239.255.255.250", udp, datagram(40000, 1900, long))},
		{"a group of the world", to4("232.1.1.1", udp, datagram(40000, 40000, long))},
		{"a group of the world over IPv6", to6("ff0e::1", udp, datagram(40000, 40000, long))},
		{"IGMP", to4("224.0.0.22", igmp, join([]byte{0x22, 0, 0, 0, 0, 0, 0, 1}, []byte(secret)))},
		{"MLD", to6("ff02::16", hopByHop, join([]byte{icmpv6, 0, 5, 2, 0, 0, 1, 0}, []byte{143, 0, 0, 0}, []byte(secret)))},
		{"directed broadcast", d.ether(typeIPv4, packet4{from: d.Addr4, to: netip.AddrFrom4(broadcast), protocol: udp, payload: datagram(40000, 40000, long)}.bytes())},
		{"spanning tree", join([]byte{1, 0x80, 0xc2, 0, 0, 0}, d.MAC, word(3+len(secret)), []byte{0x42, 0x42, 3}, []byte(secret))},
		{"unknown ethertype to all", join([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, d.MAC, word(0x88b5), []byte(long))},
	}
}
