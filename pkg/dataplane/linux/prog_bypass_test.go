// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"encoding/binary"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/bpf"
)

// The frames by which a device might get past the rules, or get more than it
// pays for.

// dns4 and dns6 are what an unpaid device may send, when nothing is odd about it.
func dns4(dir int) []layer {
	return []layer{ip4(dir, router4, protoUDP), udp(dir, 40000, 53), blob(40)}
}

func dns6(dir int) []layer {
	return []layer{ip6(dir, router6, protoUDP), udp(dir, 40000, 53), blob(40)}
}

func tagCases(t *testing.T) []frameCase {
	internet := []layer{ip4(bpf.Upload, server4, protoUDP), udp(bpf.Upload, 1, 2), blob(100)} // 128 bytes of IP
	garden := []layer{ip6(bpf.Upload, garden6, protoUDP), udp(bpf.Upload, 1, 2), blob(100)}
	in := func(inner []layer, tags ...layer) []byte { return build(t, append(tags, inner...)...) }
	vlan, qinq := l2(bpf.Upload, etherVLAN), l2(bpf.Upload, etherQinQ)
	return []frameCase{
		{"802.1Q", bpf.Upload, in(internet, vlan, tag(5, etherIPv4)), noRule, forwarded, 128},
		{"802.1Q with priority only", bpf.Upload, in(internet, vlan, tag(0, etherIPv4)), noRule, forwarded, 128},
		{"802.1ad with priority only", bpf.Upload, in(internet, qinq, tag(0, etherIPv4)), noRule, forwarded, 128},
		{"802.1Q twice, with priority only", bpf.Upload, in(internet, vlan, tag(0, etherVLAN), tag(0, etherIPv4)), noRule, forwarded, 128},
		{"DNS with priority only", bpf.Upload, in(dns4(bpf.Upload), vlan, tag(0, etherIPv4)), preauth, local, 0},
		{"DNS with the highest priority", bpf.Upload, in(dns4(bpf.Upload), vlan, priorityTag(7<<13, etherIPv4)), preauth, local, 0},
		{"DNS answer with priority only", bpf.Download, in(dns4(bpf.Download), l2(bpf.Download, etherVLAN), tag(0, etherIPv4)), preauth, local, 0},
		{"DNS over IPv6 with priority only", bpf.Upload, in(dns6(bpf.Upload), vlan, tag(0, etherIPv6)), preauth, local, 0},
		{"DNS with priority twice", bpf.Upload, in(dns4(bpf.Upload), qinq, tag(0, etherVLAN), priorityTag(5<<13, etherIPv4)), preauth, local, 0},
		{"DNS with priority, then a VLAN", bpf.Upload, in(dns4(bpf.Upload), vlan, tag(0, etherVLAN), tag(5, etherIPv4)), noRule, local, 0},
		{"DNS in a VLAN, with priority in it", bpf.Upload, in(dns4(bpf.Upload), qinq, tag(5, etherVLAN), tag(0, etherIPv4)), noRule, local, 0},
		{"DNS with priority three times", bpf.Upload, in(dns4(bpf.Upload), vlan, tag(0, etherVLAN), tag(0, etherVLAN), tag(0, etherIPv4)), noRule, forwarded, 72},
		{"ARP with priority only", bpf.Upload, build(t, ether(clientMAC, broadcastMAC, etherVLAN), tag(0, etherARP), arp(layers.ARPRequest)), preauth, local, 0},
		{"802.1Q twice", bpf.Upload, in(internet, vlan, tag(5, etherVLAN), tag(6, etherIPv4)), noRule, forwarded, 128},
		{"802.1ad", bpf.Upload, in(internet, qinq, tag(5, etherIPv4)), noRule, forwarded, 128},
		{"802.1ad and 802.1Q", bpf.Upload, in(internet, qinq, tag(5, etherVLAN), tag(6, etherIPv4)), noRule, forwarded, 128},
		{"three tags", bpf.Upload, in(internet, qinq, tag(5, etherVLAN), tag(6, etherVLAN), tag(7, etherIPv4)), noRule, forwarded, 132},
		{"DNS", bpf.Upload, in(dns4(bpf.Upload), vlan, tag(5, etherIPv4)), noRule, local, 0},
		{"DNS answer", bpf.Download, in(dns4(bpf.Download), l2(bpf.Download, etherVLAN), tag(5, etherIPv4)), noRule, local, 0},
		{"walled garden", bpf.Upload, in(garden, vlan, tag(5, etherIPv6)), noRule, forwarded, 148},
		{"walled garden, priority only", bpf.Upload, in(garden, vlan, tag(0, etherIPv6)), preauth, forwarded, 148},
		{"cut in the tag", bpf.Upload, in(internet, vlan, tag(5, etherIPv4))[:16], malformed, malformed, 0},
		{"cut in the second tag", bpf.Upload, in(internet, qinq, tag(5, etherVLAN), tag(6, etherIPv4))[:20], malformed, malformed, 0},
	}
}

// extended puts an IPv6 extension header between the IPv6 header and what follows.
func extended(kind layers.IPProtocol, header []byte, parts []layer) []layer {
	ip := parts[0].(*layers.IPv6)
	header[0] = byte(ip.NextHeader)
	ip.NextHeader = kind
	return append([]layer{ip, gopacket.Payload(header)}, parts[1:]...)
}

// hopByHop is an options header of 8 bytes with padding in it.
func hopByHop() []byte { return []byte{0, 0, 1, 4, 0, 0, 0, 0} }

func fragmentCases(t *testing.T) []frameCase {
	piece4 := func(peer string, flags layers.IPv4Flag, offset uint16) []byte {
		ip := ip4(bpf.Upload, peer, protoUDP)
		ip.Flags, ip.FragOffset = flags, offset
		return build(t, l2(bpf.Upload, etherIPv4), ip, udp(bpf.Upload, 40000, 53), blob(40))
	}
	piece6 := func(peer string, offset uint16, more uint16) []byte {
		header := make([]byte, 8)
		binary.BigEndian.PutUint16(header[2:], offset<<3|more)
		parts := []layer{ip6(bpf.Upload, peer, protoUDP), udp(bpf.Upload, 40000, 53), blob(40)}
		return build(t, append([]layer{l2(bpf.Upload, etherIPv6)}, extended(layers.IPProtocolIPv6Fragment, header, parts)...)...)
	}
	more := layers.IPv4MoreFragments
	return []frameCase{
		{"first to the router", bpf.Upload, piece4(router4, more, 0), noRule, local, 0},
		{"later to the router", bpf.Upload, piece4(router4, 0, 10), noRule, local, 0},
		{"middle to the router", bpf.Upload, piece4(router4, more, 10), noRule, local, 0},
		{"don't fragment", bpf.Upload, piece4(router4, layers.IPv4DontFragment, 0), preauth, local, 0},
		{"first to the internet", bpf.Upload, piece4(server4, more, 0), noRule, forwarded, 68},
		{"later to the internet", bpf.Upload, piece4(server4, 0, 10), noRule, forwarded, 68},
		{"first to the walled garden", bpf.Upload, piece4(garden4, more, 0), preauth, forwarded, 68},
		{"later to the walled garden", bpf.Upload, piece4(garden4, 0, 10), preauth, forwarded, 68},
		{"IPv6 first to the router", bpf.Upload, piece6(router6, 0, 1), noRule, local, 0},
		{"IPv6 later to the router", bpf.Upload, piece6(router6, 10, 0), noRule, local, 0},
		{"IPv6 atomic to the router", bpf.Upload, piece6(router6, 0, 0), noRule, local, 0},
		{"IPv6 later to the internet", bpf.Upload, piece6(server6, 10, 0), noRule, forwarded, 96},
		{"IPv6 later to the walled garden", bpf.Upload, piece6(garden6, 10, 1), preauth, forwarded, 96},
	}
}

func otherCases(t *testing.T) []frameCase {
	options := func(peer string) []byte { // 4 bytes of options
		ip := ip4(bpf.Upload, peer, protoUDP)
		ip.Options = []layers.IPv4Option{{OptionType: 1}, {OptionType: 1}, {OptionType: 1}, {OptionType: 0}}
		return build(t, l2(bpf.Upload, etherIPv4), ip, udp(bpf.Upload, 40000, 53), blob(40))
	}
	extension := func(kind layers.IPProtocol, parts []layer) []byte {
		return build(t, append([]layer{l2(bpf.Upload, etherIPv6)}, extended(kind, hopByHop(), parts)...)...)
	}
	garden := []layer{ip6(bpf.Upload, garden6, protoTCP), tcp(bpf.Upload, 1, 2), blob(40)}
	snap := gopacket.Payload{0xaa, 0xaa, 3, 0, 0, 0, 8, 0} // IPv4 in LLC/SNAP
	llc := &layers.Ethernet{SrcMAC: clientMAC[:], DstMAC: routerMAC[:], EthernetType: layers.EthernetTypeLLC}
	raw := func(ethertype layers.EthernetType) []byte { return build(t, l2(bpf.Upload, ethertype), blob(100)) }
	inIP := func(protocol layers.IPProtocol, peer string) []byte {
		return build(t, l2(bpf.Upload, etherIPv4), ip4(bpf.Upload, peer, protocol), blob(80))
	}
	return []frameCase{
		// With options a packet to the router may be on its way elsewhere: not free.
		{"options to the router", bpf.Upload, options(router4), noRule, forwarded, 72},
		{"options to the internet", bpf.Upload, options(server4), noRule, forwarded, 72},
		{"options to the walled garden", bpf.Upload, options(garden4), preauth, forwarded, 72},
		{"hop-by-hop options to the router", bpf.Upload, extension(layers.IPProtocolIPv6HopByHop, dns6(bpf.Upload)), noRule, forwarded, 96},
		{"routing header to the router", bpf.Upload, extension(layers.IPProtocolIPv6Routing, dns6(bpf.Upload)), noRule, forwarded, 96},
		{"destination options to the router", bpf.Upload, extension(layers.IPProtocolIPv6Destination, dns6(bpf.Upload)), noRule, forwarded, 96},
		{"extension header to the walled garden", bpf.Upload, extension(layers.IPProtocolIPv6Destination, garden), preauth, forwarded, 108},
		{"neighbour solicitation behind options", bpf.Upload, extension(layers.IPProtocolIPv6HopByHop, nd(bpf.Upload, routerLL, 135)), noRule, forwarded, 72},
		{"IPv4 in LLC/SNAP", bpf.Upload, build(t, llc, snap, blob(100)), noRule, forwarded, 108},
		{"MPLS", bpf.Upload, raw(layers.EthernetTypeMPLSUnicast), noRule, forwarded, 100},
		{"PPPoE discovery", bpf.Upload, raw(layers.EthernetTypePPPoEDiscovery), noRule, forwarded, 100},
		{"PPPoE session", bpf.Upload, raw(layers.EthernetTypePPPoESession), noRule, forwarded, 100},
		{"IPX", bpf.Upload, raw(0x8137), noRule, forwarded, 100},
		{"loopback", bpf.Upload, raw(0x9000), noRule, forwarded, 100},
		{"unknown ethertype", bpf.Download, build(t, l2(bpf.Download, 0xffff), blob(100)), noRule, forwarded, 100},
		{"ICMP to the router", bpf.Upload, inIP(layers.IPProtocolICMPv4, router4), noRule, local, 0},
		{"ICMP to the internet", bpf.Upload, inIP(layers.IPProtocolICMPv4, server4), noRule, forwarded, 100},
		{"GRE", bpf.Upload, inIP(layers.IPProtocolGRE, server4), noRule, forwarded, 100},
		{"IP in IP", bpf.Upload, inIP(layers.IPProtocolIPv4, server4), noRule, forwarded, 100},
		{"IPv6 in IP", bpf.Upload, inIP(layers.IPProtocolIPv6, server4), noRule, forwarded, 100},
		{"ESP", bpf.Upload, inIP(layers.IPProtocolESP, server4), noRule, forwarded, 100},
		{"SCTP to the DNS port", bpf.Upload, build(t, l2(bpf.Upload, etherIPv4), ip4(bpf.Upload, router4, layers.IPProtocolSCTP), gopacket.Payload{0x9c, 0x40, 0, 53}, blob(40)), noRule, local, 0},
		{"UDP-Lite to the DNS port", bpf.Upload, build(t, l2(bpf.Upload, etherIPv4), ip4(bpf.Upload, router4, layers.IPProtocolUDPLite), gopacket.Payload{0x9c, 0x40, 0, 53}, blob(40)), noRule, local, 0},
	}
}

func groupCases(t *testing.T) []frameCase {
	mdns := func(dir int, from, to dataplane.MAC, peer string) []byte {
		ip := ip4(dir, peer, protoUDP)
		if dir == bpf.Download {
			ip.DstIP = []byte{224, 0, 0, 251}
		}
		return build(t, ether(from, to, etherIPv4), ip, udp(dir, 5353, 5353), blob(40))
	}
	group := dataplane.MAC{0x01, 0, 0x5e, 0, 0, 0xfb}
	advert := append([]layer{ether(routerMAC, multicastMAC, etherIPv6)}, nd(bpf.Download, routerLL, 134)...)
	echo := append([]layer{ether(routerMAC, multicastMAC, etherIPv6)}, nd(bpf.Download, server6, 128)...)
	dad := append([]layer{ether(routerMAC, multicastMAC, etherIPv6)}, nd(bpf.Download, "::", 135)...)
	tagged := append([]layer{ether(routerMAC, multicastMAC, etherVLAN), tag(5, etherIPv6)}, nd(bpf.Download, routerLL, 134)...)
	return []frameCase{
		{"mDNS from a client", bpf.Upload, mdns(bpf.Upload, clientMAC, group, "224.0.0.251"), noRule, local, 0},
		{"unicast IP to all", bpf.Upload, mdns(bpf.Upload, clientMAC, broadcastMAC, server4), noRule, local, 0},
		{"unknown ethertype to all", bpf.Upload, build(t, ether(clientMAC, broadcastMAC, 0xffff), blob(60)), noRule, local, 0},
		{"ARP request of the router", bpf.Download, build(t, ether(routerMAC, broadcastMAC, etherARP), arp(layers.ARPRequest)), preauth, preauth, 0},
		{"reverse ARP of the router", bpf.Download, build(t, ether(routerMAC, broadcastMAC, etherARP), arp(3)), noRule, noRule, 0},
		{"router advertisement", bpf.Download, build(t, advert...), preauth, preauth, 0},
		{"router advertisement in a VLAN", bpf.Download, build(t, tagged...), noRule, noRule, 0},
		{"duplicate address detection", bpf.Download, build(t, dad...), preauth, preauth, 0},
		{"echo request from elsewhere", bpf.Download, build(t, echo...), noRule, noRule, 0},
		{"mDNS of the router", bpf.Download, mdns(bpf.Download, routerMAC, group, router4), preauth, preauth, 0},
		{"mDNS from elsewhere", bpf.Download, mdns(bpf.Download, neighborMAC, group, "10.0.0.51"), noRule, noRule, 0},
		{"router advertisement with priority only", bpf.Download, build(t, append([]layer{ether(routerMAC, multicastMAC, etherVLAN), tag(0, etherIPv6)}, nd(bpf.Download, routerLL, 134)...)...), preauth, preauth, 0},
		{"unknown ethertype to all clients", bpf.Download, build(t, ether(routerMAC, broadcastMAC, 0xffff), blob(60)), noRule, noRule, 0},
		{"malformed IP to all clients", bpf.Download, build(t, ether(routerMAC, broadcastMAC, etherIPv4), blob(60)), malformed, malformed, 0},
	}
}

// controlCases are the protocols by which the two ends of a link, or a bridge and its
// neighbours, find each other: on every kind of interface, before paying and after, both ways. Those
// that drop them break what is below IP: loops form, bonds fall apart, ports stay closed.
// Nothing else gets through in their addresses: IP does not, as the router would take it.
func controlCases(t *testing.T) []frameCase {
	to := func(last byte) dataplane.MAC { return dataplane.MAC{0x01, 0x80, 0xc2, 0, 0, last} }
	up := func(last byte, ethertype layers.EthernetType, rest ...layer) []byte {
		return build(t, append([]layer{ether(clientMAC, to(last), ethertype)}, rest...)...)
	}
	down := func(last byte, ethertype layers.EthernetType) []byte {
		return build(t, ether(routerMAC, to(last), ethertype), blob(46))
	}
	lookup := dns4(bpf.Upload)
	cases := []frameCase{
		{"not of the group's source", bpf.Upload, build(t, ether(multicastMAC, to(0), layers.EthernetTypeLLC), blob(46)), malformed, malformed, 0},
		{"the next address", bpf.Upload, build(t, ether(clientMAC, beyondLinkMAC, 0x88cc), blob(46)), noRule, local, 0},
		{"another of the block", bpf.Upload, build(t, ether(clientMAC, dataplane.MAC{0x01, 0x80, 0xc2, 0, 1, 0}, 0x88cc), blob(46)), noRule, local, 0},
		{"the next address, from the router", bpf.Download, build(t, ether(routerMAC, beyondLinkMAC, 0x88cc), blob(46)), noRule, noRule, 0},
		{"with priority", bpf.Upload, up(0x0e, etherVLAN, tag(0, 0x88cc), blob(46)), linkControl, linkControl, 0},
		{"in a VLAN", bpf.Upload, up(0, etherVLAN, tag(5, layers.EthernetTypeLLC), blob(46)), linkControl, linkControl, 0},
		// A service of the router answers to any MAC: what it is asked for is metered.
		{"DNS", bpf.Upload, up(0x0e, etherIPv4, lookup...), preauth, local, 0},
		{"DNS with priority", bpf.Upload, up(0x0e, etherVLAN, append([]layer{tag(0, etherIPv4)}, lookup...)...), preauth, local, 0},
		{"IP to the internet", bpf.Upload, up(0x0e, etherIPv4, ip4(bpf.Upload, server4, protoUDP), blob(40)), noRule, local, 0},
		{"IPv6 to the internet", bpf.Upload, up(0x0e, etherIPv6, ip6(bpf.Upload, server6, protoUDP), blob(40)), noRule, local, 0},
		{"PPPoE session", bpf.Upload, up(0x0e, layers.EthernetTypePPPoESession, blob(60)), noRule, local, 0},
		{"IP behind three tags", bpf.Upload, up(0, etherVLAN, tag(0, etherVLAN), tag(0, etherVLAN), tag(0, etherIPv4), blob(60)), noRule, local, 0},
	}
	for name, kind := range map[string]struct {
		last      byte
		ethertype layers.EthernetType
	}{
		"spanning tree": {0, layers.EthernetTypeLLC}, "PAUSE": {1, 0x8808}, "LACP": {2, 0x8809}, "EAPOL": {3, etherEAPOL},
		"provider spanning tree": {8, layers.EthernetTypeLLC}, "MVRP": {0x0d, 0x88f5}, "LLDP": {0x0e, 0x88cc}, "PTP": {0x0e, 0x88f7}, "the last": {0x0f, 0x88b5},
	} {
		cases = append(cases,
			frameCase{name, bpf.Upload, up(kind.last, kind.ethertype, blob(46)), linkControl, linkControl, 0},
			frameCase{name + " of the router", bpf.Download, down(kind.last, kind.ethertype), linkControl, linkControl, 0})
	}
	return cases
}

// vlanCases are of VLANs that end in another interface of the router on the same cable: an
// uplink, a management network. They are not the customers', so nothing in them is judged;
// in any other VLAN everything is.
func vlanCases(t *testing.T) []frameCase {
	internet := []layer{ip4(bpf.Upload, server4, protoUDP), udp(bpf.Upload, 1, 2), blob(100)}
	in := func(dir int, ethertype layers.EthernetType, tags ...layer) []byte {
		return build(t, append(append([]layer{l2(dir, ethertype)}, tags...), internet...)...)
	}
	return []frameCase{
		{"uplink", bpf.Upload, in(bpf.Upload, etherVLAN, tag(uplinkVLAN, etherIPv4)), otherVLAN, otherVLAN, 0},
		{"uplink, sent", bpf.Download, in(bpf.Download, etherVLAN, tag(uplinkVLAN, etherIPv4)), otherVLAN, otherVLAN, 0},
		{"uplink, with a priority", bpf.Upload, in(bpf.Upload, etherVLAN, priorityTag(uplinkVLAN|6<<13, etherIPv4)), otherVLAN, otherVLAN, 0},
		{"uplink, behind a priority", bpf.Upload, in(bpf.Upload, etherVLAN, tag(0, etherVLAN), tag(uplinkVLAN, etherIPv4)), otherVLAN, otherVLAN, 0},
		{"uplink, with another VLAN in it", bpf.Upload, in(bpf.Upload, etherVLAN, tag(uplinkVLAN, etherVLAN), tag(5, etherIPv4)), otherVLAN, otherVLAN, 0},
		{"uplink, to all", bpf.Download, build(t, ether(routerMAC, broadcastMAC, etherVLAN), tag(uplinkVLAN, etherARP), arp(3)), otherVLAN, otherVLAN, 0},
		{"uplink, malformed in it", bpf.Upload, build(t, l2(bpf.Upload, etherVLAN), tag(uplinkVLAN, etherIPv4), blob(60)), otherVLAN, otherVLAN, 0},
		{"uplink, cut in the second tag", bpf.Upload, in(bpf.Upload, etherVLAN, tag(uplinkVLAN, etherVLAN), tag(5, etherIPv4))[:20], malformed, malformed, 0},
		{"the same id of 802.1ad", bpf.Upload, in(bpf.Upload, etherQinQ, tag(uplinkVLAN, etherIPv4)), noRule, forwarded, 128},
		{"the next VLAN", bpf.Upload, in(bpf.Upload, etherVLAN, tag(uplinkVLAN+1, etherIPv4)), noRule, forwarded, 128},
		{"within another VLAN", bpf.Upload, in(bpf.Upload, etherVLAN, tag(5, etherVLAN), tag(uplinkVLAN, etherIPv4)), noRule, forwarded, 128},
	}
}

func malformedCases(t *testing.T) []frameCase {
	good4 := func() []byte { return build(t, append([]layer{l2(bpf.Upload, etherIPv4)}, dns4(bpf.Upload)...)...) } // 68 bytes
	good6 := func() []byte { return build(t, append([]layer{l2(bpf.Upload, etherIPv6)}, dns6(bpf.Upload)...)...) } // 88 bytes
	tagged4 := build(t, append([]layer{l2(bpf.Upload, etherVLAN), tag(5, etherIPv4)}, dns4(bpf.Upload)...)...)
	tagged6 := build(t, append([]layer{l2(bpf.Upload, etherVLAN), tag(5, etherIPv6)}, dns6(bpf.Upload)...)...)
	set := func(frame []byte, at int, values ...byte) []byte {
		copy(frame[at:], values)
		return frame
	}
	jumbo := build(t, append([]layer{l2(bpf.Upload, etherIPv6)}, extended(layers.IPProtocolIPv6HopByHop, hopByHop(), []layer{
		ip6(bpf.Upload, server6, protoUDP), udp(bpf.Upload, 1, 2), blob(100)})...)...)
	return []frameCase{
		{"multicast source", bpf.Upload, build(t, ether(multicastMAC, routerMAC, etherIPv4), ip4(bpf.Upload, server4, protoUDP), blob(40)), malformed, malformed, 0},
		{"broadcast source", bpf.Upload, build(t, ether(broadcastMAC, routerMAC, etherARP), arp(layers.ARPRequest)), malformed, malformed, 0},
		{"multicast source to a client", bpf.Download, build(t, ether(multicastMAC, clientMAC, etherIPv4), ip4(bpf.Download, router4, protoUDP), blob(40)), malformed, malformed, 0},
		// Without a tag, a run refuses to start with so little.
		{"IPv4 header cut", bpf.Upload, tagged4[:18+19], malformed, malformed, 0},
		{"IPv4 one byte", bpf.Upload, tagged4[:18+1], malformed, malformed, 0},
		{"IPv4 nothing", bpf.Upload, tagged4[:18], malformed, malformed, 0},
		{"IPv4 version 6", bpf.Upload, set(good4(), 14, 0x65), malformed, malformed, 0},
		{"IPv4 version 0", bpf.Upload, set(good4(), 14, 0x05), malformed, malformed, 0},
		{"IPv4 header of 16 bytes", bpf.Upload, set(good4(), 14, 0x44), malformed, malformed, 0},
		{"IPv4 header of 0 bytes", bpf.Upload, set(good4(), 14, 0x40), malformed, malformed, 0},
		{"IPv4 header beyond the packet", bpf.Upload, set(set(good4(), 14, 0x4f), 16, 0, 59), malformed, malformed, 0},
		{"IPv4 length 0", bpf.Upload, set(good4(), 16, 0, 0), malformed, malformed, 0},
		{"IPv4 length 19", bpf.Upload, set(good4(), 16, 0, 19), malformed, malformed, 0},
		{"IPv4 longer than the frame", bpf.Upload, set(good4(), 16, 0, 69), malformed, malformed, 0},
		{"IPv4 as long as can be said", bpf.Upload, set(good4(), 16, 0xff, 0xff), malformed, malformed, 0},
		{"IPv6 header cut", bpf.Upload, tagged6[:18+39], malformed, malformed, 0},
		{"IPv6 version 4", bpf.Upload, set(good6(), 14, 0x45), malformed, malformed, 0},
		{"IPv6 longer than the frame", bpf.Upload, set(good6(), 18, 0, 49), malformed, malformed, 0},
		{"IPv6 as long as can be said", bpf.Upload, set(good6(), 18, 0xff, 0xff), malformed, malformed, 0},
		{"IPv6 without payload", bpf.Upload, set(good6(), 18, 0, 0), noRule, local, 0},
		// Linux does not cut such a packet to its length: all of it may be forwarded.
		{"IPv6 options and length 0", bpf.Upload, set(jumbo, 18, 0, 0), noRule, forwarded, 156},
	}
}
