// SPDX-License-Identifier: Apache-2.0

package acceptance

import (
	"encoding/binary"
	"net"
	"net/netip"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/hotspot-agent/hotspot-agent/internal/lab"
)

// probe is a way to get something through the router: one IP packet a frame.
type probe struct {
	name   string
	frames [][]byte
	bytes  uint64 // of the IP packets
}

// A device that has not paid passes nothing in either direction. The same frames
// of a device that has paid pass, which proves that they would have.
func TestUnpaidPassesNothing(t *testing.T) {
	s := open(t, lab.KioskConfig{Customers: 2})
	unpaid, paid := s.kiosk.Customers[0], s.kiosk.Customers[1]
	session := s.sell(1, "--type", "data", "--data", "100MB")
	s.meetNeighbours()

	wireUnpaid, wirePaid := s.wire(0), s.wire(1)
	for _, p := range probes(t, unpaid, s.kiosk.Router) {
		must(t, unpaid.SendFrames(lab.Uplink, p.frames...))
		if _, up := wireUnpaid.read(); up.Packets != 0 {
			t.Fatalf("%s: %d packets passed", p.name, up.Packets)
		}
	}
	var want lab.Count
	for _, p := range probes(t, paid, s.kiosk.Router) {
		_, before := wirePaid.read()
		must(t, paid.SendFrames(lab.Uplink, p.frames...))
		_, after := wirePaid.read()
		want = want.Add(lab.Count{Packets: uint64(len(p.frames)), Bytes: p.bytes})
		if n := after.Packets - before.Packets; n != uint64(len(p.frames)) {
			t.Errorf("%s: %d of %d packets of the paid device passed", p.name, n, len(p.frames))
		}
	}
	down, up := wirePaid.read()
	if up != want {
		t.Errorf("the paid device's packets arrived as %+v, want %+v", up, want)
	}
	counted, err := s.agent.Session(session.ID)
	must(t, err)
	if carried := down.Add(up).Bytes; counted.DataUsedBytes != carried {
		t.Errorf("the agent counted %d bytes, the wire carried %d", counted.DataUsedBytes, carried)
	}
	s.nothingComesDown(wireUnpaid, unpaid)
}

// meetNeighbours has the router and the hosts learn each other's MACs, which is
// open to all, so that no probe waits for that.
func (s *shop) meetNeighbours() {
	s.Helper()
	stop, err := s.kiosk.Router.ServeEcho(7)
	must(s.T, err)
	defer stop()
	for _, h := range append([]*lab.Host{s.kiosk.Server}, s.kiosk.Customers...) {
		addrs := []netip.Addr{s.kiosk.Router.Addr4, s.kiosk.Router.Addr6}
		if h == s.kiosk.Server {
			addrs = []netip.Addr{netip.MustParseAddr(lab.RouterWAN4), netip.MustParseAddr(lab.RouterWAN6)}
		}
		for _, to := range addrs {
			// An unpaid customer gets no answer to this, only the MAC.
			_, err := h.Ping(netip.AddrPortFrom(to, 7), 1, lab.Silence)
			must(s.T, err)
		}
	}
}

// nothingComesDown sends from the internet to a device that has not paid: small
// packets and such that travel in fragments.
func (s *shop) nothingComesDown(w *wire, unpaid *lab.Host) {
	s.Helper()
	arrived, err := s.kiosk.Router.Count(lab.Ingress, lab.WAN, "ip daddr "+unpaid.Addr4.String(), "ip6 daddr "+unpaid.Addr6.String())
	must(s.T, err)
	for _, to := range []netip.Addr{unpaid.Addr4, unpaid.Addr6} {
		for _, size := range []int{100, mtu, 4000} {
			stop := s.blast(s.kiosk.Server, netip.AddrPortFrom(to, sinkPort), 1e6, size)
			before, err := arrived.Read()
			must(s.T, err)
			s.until("packets at the router", func() bool {
				now, err := arrived.Read()
				must(s.T, err)
				return now.Packets >= before.Packets+10
			})
			stop()
		}
	}
	if down, _ := w.read(); down.Packets != 0 {
		s.Errorf("%d packets came down to a device that has not paid", down.Packets)
	}
}

// probes are frames from a customer to the internet server by way of the router.
func probes(t *testing.T, from, router *lab.Host) []probe {
	t.Helper()
	ethernet := layers.Ethernet{SrcMAC: from.MAC, DstMAC: router.MAC}
	ip4 := layers.IPv4{Version: 4, TTL: 64, Id: 77, SrcIP: from.Addr4.AsSlice(), DstIP: server4.AsSlice()}
	ip6 := layers.IPv6{Version: 6, HopLimit: 64, SrcIP: from.Addr6.AsSlice(), DstIP: server6.AsSlice()}
	build := frameBuilder(t, ethernet)
	all := []probe{
		build("UDP", ip(ip4, layers.IPProtocolUDP), udp(53000, 40000)),
		build("UDP over IPv6", ip(ip6, layers.IPProtocolUDP), udp(53000, 40000)),
		build("DNS to a server on the internet", ip(ip4, layers.IPProtocolUDP), udp(53000, 53)),
		build("DNS over IPv6", ip(ip6, layers.IPProtocolUDP), udp(53000, 53)),
		build("DHCP to the internet", ip(ip4, layers.IPProtocolUDP), udp(68, 67)),
		build("TCP", ip(ip4, layers.IPProtocolTCP), &layers.TCP{SrcPort: 40000, DstPort: 40000, SYN: true}),
		build("TCP over IPv6", ip(ip6, layers.IPProtocolTCP), &layers.TCP{SrcPort: 40000, DstPort: 443, SYN: true}),
		build("ping", ip(ip4, layers.IPProtocolICMPv4), &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(layers.ICMPv4TypeEchoReply, 0)}),
		build("ping over IPv6", ip(ip6, layers.IPProtocolICMPv6), &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(layers.ICMPv6TypeEchoReply, 0)}),
		build("another protocol", ip(ip4, layers.IPProtocolESP), gopacket.Payload("tunnel")),
		build("another protocol over IPv6", ip(ip6, layers.IPProtocolESP), gopacket.Payload("tunnel")),
		build("IPv6 in IPv4", ip(ip4, layers.IPProtocolIPv6), gopacket.Payload("tunnel")),
		build("VLAN tag", tag(0), ip(ip4, layers.IPProtocolUDP), udp(53000, 40000)),
		build("VLAN tag over IPv6", tag(0), ip(ip6, layers.IPProtocolUDP), udp(53000, 40000)),
		build("two VLAN tags", tag(0), tag(0), ip(ip4, layers.IPProtocolUDP), udp(53000, 40000)),
	}
	first, later := ip4, ip4
	first.Flags, later.FragOffset = layers.IPv4MoreFragments, 2
	payload := gopacket.Payload("16 bytes, or so.")
	all = append(all,
		build("first fragment", ip(first, layers.IPProtocolUDP), payload),
		build("later fragment", ip(later, layers.IPProtocolUDP), payload),
		build("tagged fragment", tag(0), ip(later, layers.IPProtocolUDP), payload),
		build("fragment over IPv6", ip(ip6, layers.IPProtocolIPv6Fragment), fragment6(1, 0), payload),
		build("later fragment over IPv6", ip(ip6, layers.IPProtocolIPv6Fragment), fragment6(0, 2), payload),
	)
	return all
}

// frameBuilder returns a function that stacks layers on the Ethernet header.
func frameBuilder(t *testing.T, ethernet layers.Ethernet) func(string, ...gopacket.SerializableLayer) probe {
	t.Helper()
	return func(name string, parts ...gopacket.SerializableLayer) probe {
		t.Helper()
		header := ethernet
		header.EthernetType = etherType(parts[0])
		tags := 0
		for i, part := range parts {
			if tag, ok := part.(*layers.Dot1Q); ok {
				tag.Type = etherType(parts[i+1])
				tags += 4
			}
		}
		buffer := gopacket.NewSerializeBuffer()
		options := gopacket.SerializeOptions{FixLengths: true}
		err := gopacket.SerializeLayers(buffer, options, append([]gopacket.SerializableLayer{&header}, parts...)...)
		must(t, err)
		frame := withIPChecksum(buffer.Bytes(), 14+tags)
		return probe{name: name, frames: [][]byte{frame}, bytes: ipBytes(frame[14+tags:])}
	}
}

// ipBytes is the length of an IP packet by its header: a short frame has padding.
func ipBytes(packet []byte) uint64 {
	if packet[0]>>4 == 4 {
		return uint64(binary.BigEndian.Uint16(packet[2:]))
	}
	return 40 + uint64(binary.BigEndian.Uint16(packet[4:]))
}

// withIPChecksum fills in the checksum of an IPv4 header: the router checks it,
// while those of TCP and UDP are the far end's business.
func withIPChecksum(frame []byte, at int) []byte {
	if frame[at]>>4 != 4 {
		return frame
	}
	header := frame[at : at+20]
	header[10], header[11] = 0, 0
	var sum uint32
	for i := 0; i < len(header); i += 2 {
		sum += uint32(header[i])<<8 | uint32(header[i+1])
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	header[10], header[11] = byte(^sum>>8), byte(^sum)
	return frame
}

func etherType(l gopacket.SerializableLayer) layers.EthernetType {
	switch l.(type) {
	case *layers.IPv6:
		return layers.EthernetTypeIPv6
	case *layers.Dot1Q:
		return layers.EthernetTypeDot1Q
	}
	return layers.EthernetTypeIPv4
}

func ip[T layers.IPv4 | layers.IPv6](header T, protocol layers.IPProtocol) gopacket.SerializableLayer {
	switch h := any(header).(type) {
	case layers.IPv4:
		h.Protocol = protocol
		return &h
	case layers.IPv6:
		h.NextHeader = protocol
		return &h
	}
	return nil // no other type
}

func udp(from, to layers.UDPPort) *layers.UDP {
	return &layers.UDP{SrcPort: from, DstPort: to, BaseLayer: layers.BaseLayer{Payload: net.IPv4zero}}
}

// tag is an 802.1Q header. The kernel takes VLAN 0 for untagged: it would route.
func tag(vlan uint16) *layers.Dot1Q { return &layers.Dot1Q{VLANIdentifier: vlan} }

// fragment6 is an IPv6 fragment header (RFC 8200, 4.5) of a UDP packet.
func fragment6(more, offset uint16) gopacket.Payload {
	field := offset<<3 | more
	return gopacket.Payload{byte(layers.IPProtocolUDP), 0, byte(field >> 8), byte(field), 0, 0, 0, 77}
}
