// SPDX-License-Identifier: Apache-2.0

package adversary

import (
	"net"
	"net/netip"
	"slices"
	"strings"
)

// Device is the sender, and the addresses that it could reach.
type Device struct {
	MAC, Router      net.HardwareAddr
	Addr4, Addr6     netip.Addr
	Router4, Router6 netip.Addr
	Server4, Server6 netip.Addr // on the internet
	Paid             net.HardwareAddr
	Paid4, Paid6     netip.Addr // another device's, that is connected
}

// Attack is one frame.
type Attack struct {
	Name  string
	Frame []byte
}

// secret is the payload that must not reach the server.
const secret = "unpaid payload of a test"

// long is as much of it as a frame holds.
var long = strings.Repeat(secret, 55)

func (d *Device) ether(ethertype int, parts ...[]byte) []byte {
	return join(d.Router, d.MAC, word(ethertype), join(parts...))
}

// to4 and to6 are frames with a packet to the server.
func (d *Device) to4(protocol byte, payload []byte) []byte {
	return d.ether(typeIPv4, packet4{from: d.Addr4, to: d.Server4, protocol: protocol, payload: payload}.bytes())
}

func (d *Device) to6(next byte, payload []byte) []byte {
	return d.ether(typeIPv6, packet6{from: d.Addr6, to: d.Server6, next: next, payload: payload}.bytes())
}

// Forwarded are packets to the server that Linux forwards: only the agent is in their way.
func (d *Device) Forwarded() []Attack {
	return slices.Concat(d.transports(), d.optioned(), d.fragments(), d.tagged())
}

func (d *Device) transports() []Attack {
	plain := datagram(53000, 40000, secret)
	inner4 := packet4{from: d.Addr4, to: d.Server4, protocol: udp, payload: plain}.bytes()
	inner6 := packet6{from: d.Addr6, to: d.Server6, next: udp, payload: plain}.bytes()
	solicit := packet6{from: d.Addr6, to: d.Server6, next: icmpv6, hops: 255, payload: join([]byte{135, 0, 0, 0}, []byte(secret))}
	return []Attack{
		{"UDP", d.to4(udp, plain)},
		{"UDP over IPv6", d.to6(udp, plain)},
		{"UDP of a whole frame", d.to4(udp, datagram(53000, 40000, long))},
		{"DNS to a server on the internet", d.to4(udp, datagram(53000, 53, secret))},
		{"DNS over IPv6", d.to6(udp, datagram(53000, 53, secret))},
		{"DNS over TCP", d.to4(tcp, segment(53000, 53, secret))},
		{"an answer of DNS", d.to4(udp, datagram(53, 40000, secret))},
		{"DHCP to the internet", d.to4(udp, datagram(68, 67, secret))},
		{"DHCPv6 to the internet", d.to6(udp, datagram(546, 547, secret))},
		{"to the portal's port elsewhere", d.to4(tcp, segment(40000, 8080, secret))},
		{"from the portal's port", d.to6(tcp, segment(8080, 40000, secret))},
		{"TCP", d.to4(tcp, segment(40000, 443, secret))},
		{"TCP over IPv6", d.to6(tcp, segment(40000, 443, secret))},
		{"TCP to port 80", d.to4(tcp, segment(40000, 80, secret))},
		{"ping tunnel", d.to4(icmp, join([]byte{0, 0, 0, 0}, []byte(secret)))},
		{"ping tunnel over IPv6", d.to6(icmpv6, join([]byte{129, 0, 0, 0}, []byte(secret)))},
		{"neighbour solicitation past the router", d.ether(typeIPv6, solicit.bytes())},
		{"ESP", d.to4(esp, []byte(secret))},
		{"ESP over IPv6", d.to6(esp, []byte(secret))},
		{"GRE", d.to4(gre, join([]byte{0, 0, 8, 0}, inner4))},
		{"SCTP", d.to4(sctp, join(word(40000), word(53), []byte(secret)))},
		{"UDP-Lite", d.to4(udpLite, plain)},
		{"IPv4 in IPv4", d.to4(ipInIP, inner4)},
		{"IPv6 in IPv4", d.to4(ipv6InIP, inner6)},
		{"IPv4 in IPv6", d.to6(ipInIP, inner4)},
		{"IPv6 in IPv6", d.to6(ipv6InIP, inner6)},
		{"no next header", d.to6(noNext, []byte(secret))},
		{"unknown protocol", d.to4(253, []byte(secret))},
	}
}

// optioned have options, extension headers, or more in the frame than the packet.
func (d *Device) optioned() []Attack {
	plain := datagram(53000, 53, secret)
	with := func(options ...byte) []byte {
		return d.ether(typeIPv4, packet4{from: d.Addr4, to: d.Server4, protocol: udp, options: options, payload: plain}.bytes())
	}
	return []Attack{
		{"IP options", with(1, 1, 1, 0)},
		{"router alert", with(148, 4, 0, 0)},
		{"record route", with(7, 7, 4, 0, 0, 0, 0, 0)},
		{"hop-by-hop options", d.to6(hopByHop, join(extension(udp), plain))},
		{"destination options", d.to6(destination, join(extension(udp), plain))},
		{"routing header", d.to6(routing, join(extension(udp), plain))},
		{"mobility header", d.to6(mobility, join(extension(noNext), plain))},
		{"authentication header", d.to6(ah, join([]byte{udp, 1, 0, 0}, make([]byte, 8), plain))},
		{"many extension headers", d.to6(hopByHop, join(extension(destination), extension(routing), extension(destination), extension(udp), plain))},
		{"over-long", join(d.to4(udp, plain), []byte(long))},
		{"over-long over IPv6", join(d.to6(udp, plain), []byte(long))},
	}
}

func (d *Device) fragments() []Attack {
	const more = 0x2000
	plain := datagram(53000, 53, secret)
	with := func(flags int) []byte {
		return d.ether(typeIPv4, packet4{from: d.Addr4, to: d.Server4, protocol: udp, flags: flags, payload: plain}.bytes())
	}
	return []Attack{
		{"first fragment", with(more)},
		{"middle fragment", with(more | 4)},
		{"later fragment", with(2)},
		{"fragment over IPv6", d.to6(fragment, join(piece(0, 1), plain))},
		{"later fragment over IPv6", d.to6(fragment, join(piece(2, 0), plain))},
		{"atomic fragment", d.to6(fragment, join(piece(0, 0), plain))},
		{"fragment behind options", d.to6(destination, join(extension(fragment), piece(2, 0), plain))},
	}
}

// tagged are VLAN 0, which Linux takes for untagged.
func (d *Device) tagged() []Attack {
	plain := datagram(53000, 40000, secret)
	later := packet4{from: d.Addr4, to: d.Server4, protocol: udp, flags: 2, payload: plain}.bytes()
	ip4 := packet4{from: d.Addr4, to: d.Server4, protocol: udp, payload: plain}.bytes()
	ip6 := packet6{from: d.Addr6, to: d.Server6, next: udp, payload: plain}.bytes()
	return []Attack{
		{"VLAN tag", d.ether(typeVLAN, word(0), word(typeIPv4), ip4)},
		{"VLAN tag over IPv6", d.ether(typeVLAN, word(0), word(typeIPv6), ip6)},
		{"priority tag", d.ether(typeVLAN, word(0xe000), word(typeIPv4), ip4)},
		{"two VLAN tags", d.ether(typeVLAN, word(0), word(typeVLAN), word(0), word(typeIPv4), ip4)},
		{"tagged fragment", d.ether(typeVLAN, word(0), word(typeIPv4), later)},
	}
}
