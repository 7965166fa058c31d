// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"net"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/bpf"
)

// The addresses on the wire of the tests.
const (
	router4  = "10.0.0.1"
	router6  = "fd00::1"
	routerLL = "fe80::1"
	client4  = "10.0.0.50"
	other4   = "10.0.0.51"
	distant4 = "11.0.0.50"
	client6  = "fd00::50"
	server4  = "198.51.100.7"
	server6  = "2001:db8::7"
	portal4  = "203.0.113.9"
	portal6  = "2001:db8:bee::9"
	garden4  = "192.0.2.77"
	// routerGarden4 is an address of the router's in the walled garden.
	routerGarden4 = "192.0.2.1"
	garden6       = "2001:db8:cafe::77"
)

var (
	clientMAC    = dataplane.MAC{0x02, 0, 0x5e, 0x10, 0, 0x01}
	neighborMAC  = dataplane.MAC{0x02, 0, 0x5e, 0x10, 0, 0x02}
	routerMAC    = dataplane.MAC{0x02, 0, 0x5e, 0x10, 0, 0xfe}
	broadcastMAC = dataplane.MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	multicastMAC = dataplane.MAC{0x33, 0x33, 0, 0, 0, 0x01}
	linkMAC      = dataplane.MAC{0x01, 0x80, 0xc2, 0, 0, 0x0e}
	// beyondLinkMAC is next to the addresses of IEEE 802.1Q table 8-1.
	beyondLinkMAC = dataplane.MAC{0x01, 0x80, 0xc2, 0, 0, 0x10}
)

// uplinkVLAN has a device on the router, which is not client-facing.
const uplinkVLAN = 13

// loopback is the index of the interface that a run's frame is of.
const loopback = 1

type layer = gopacket.SerializableLayer

// build serializes layers, with lengths where they are not set, padded to the
// least frame.
func build(t testing.TB, parts ...layer) []byte {
	t.Helper()
	buffer := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buffer, gopacket.SerializeOptions{FixLengths: true}, parts...); err != nil {
		t.Fatal(err)
	}
	return buffer.Bytes()
}

// ether is the link header of a frame between two stations.
func ether(from, to dataplane.MAC, ethertype layers.EthernetType) *layers.Ethernet {
	return &layers.Ethernet{SrcMAC: from[:], DstMAC: to[:], EthernetType: ethertype}
}

// l2 is the link header of a frame between the client and the router.
func l2(dir int, ethertype layers.EthernetType) *layers.Ethernet {
	if dir == bpf.Upload {
		return ether(clientMAC, routerMAC, ethertype)
	}
	return ether(routerMAC, clientMAC, ethertype)
}

// ends orders the client's end and the peer's as source and destination.
func ends[T any](dir int, client, peer T) (source, destination T) {
	if dir == bpf.Upload {
		return client, peer
	}
	return peer, client
}

func ip4(dir int, peer string, protocol layers.IPProtocol) *layers.IPv4 {
	source, destination := ends(dir, net.ParseIP(client4), net.ParseIP(peer))
	return &layers.IPv4{Version: 4, TTL: 64, Protocol: protocol, SrcIP: source, DstIP: destination}
}

func ip6(dir int, peer string, next layers.IPProtocol) *layers.IPv6 {
	source, destination := ends(dir, net.ParseIP(client6), net.ParseIP(peer))
	return &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: next, SrcIP: source, DstIP: destination}
}

func udp(dir int, client, peer layers.UDPPort) *layers.UDP {
	source, destination := ends(dir, client, peer)
	return &layers.UDP{SrcPort: source, DstPort: destination}
}

func tcp(dir int, client, peer layers.TCPPort) *layers.TCP {
	source, destination := ends(dir, client, peer)
	return &layers.TCP{SrcPort: source, DstPort: destination, ACK: true}
}

// nd is a neighbour-discovery message.
func nd(dir int, peer string, kind uint8) []layer {
	ip := ip6(dir, peer, layers.IPProtocolICMPv6)
	ip.HopLimit = 255
	return []layer{ip, &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(kind, 0)}, blob(20)}
}

// blob is n bytes of payload.
func blob(n int) gopacket.Payload { return make(gopacket.Payload, n) }

// udp4 is a frame with n bytes of UDP between the client and the server.
func udp4(t testing.TB, dir, n int) []byte {
	return build(t, l2(dir, layers.EthernetTypeIPv4), ip4(dir, server4, layers.IPProtocolUDP), udp(dir, 4000, 5000), blob(n))
}

// packet4 is a frame to or from the server whose IP packet is n bytes long.
func packet4(t testing.TB, dir, n int) []byte { return udp4(t, dir, n-28) }

func arp(operation uint16) *layers.ARP {
	return &layers.ARP{
		AddrType: layers.LinkTypeEthernet, Protocol: layers.EthernetTypeIPv4, HwAddressSize: 6, ProtAddressSize: 4, Operation: operation,
		SourceHwAddress: clientMAC[:], SourceProtAddress: []byte{10, 0, 0, 50},
		DstHwAddress: make([]byte, 6), DstProtAddress: []byte{10, 0, 0, 1},
	}
}

func tag(id uint16, ethertype layers.EthernetType) *layers.Dot1Q {
	return &layers.Dot1Q{VLANIdentifier: id, Type: ethertype}
}

// priorityTag is a tag with all its bits: priority, drop eligibility and id.
func priorityTag(tci uint16, ethertype layers.EthernetType) *layers.Dot1Q {
	return &layers.Dot1Q{Priority: uint8(tci >> 13), DropEligible: tci>>12&1 == 1, VLANIdentifier: tci & 0xfff, Type: ethertype}
}
