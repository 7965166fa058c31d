// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"testing"

	"github.com/gopacket/gopacket/layers"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/bpf"
)

// What a stranger got past the rules, or past the narrowness of what is open before paying, each by a
// frame that the model judged otherwise.

// TestIPv4InIPv6Clothes: the maps have IPv4 addresses as ::ffff:0:0/96. An IPv6 packet to
// such an address is none to the router, to a portal, or to the walled garden: Linux would
// forward it wherever its routes lead.
func TestIPv4InIPv6Clothes(t *testing.T) {
	b := newTestbed(t, false)
	for _, c := range []struct{ name, addr string }{
		{"router", "::ffff:" + router4}, {"portal", "::ffff:" + portal4}, {"walled garden", "::ffff:" + garden4},
	} {
		for _, port := range []layers.TCPPort{53, 8080, 443} {
			for dir := range bpf.Directions {
				t.Run(c.name+" "+bpf.DirectionLabels[dir], func(t *testing.T) {
					b := b.clean(t)
					frame := build(t, l2(dir, etherIPv6), ip6(dir, c.addr, protoTCP), tcp(dir, 40000, port), blob(100))
					b.expect(dir, frame, malformed)
					b.grant(clientMAC, dataplane.Rule{Verdict: dataplane.Allow, Account: 7, LimitBytes: dataplane.NoLimit})
					b.expect(dir, frame, malformed)
				})
			}
		}
	}
}

// TestPortalOfNoAddress: the map has portals on the router with the zero address, which is
// one of IPv6: ::. Linux forwards what goes there, and what comes from there is not the router's.
func TestPortalOfNoAddress(t *testing.T) {
	b := newTestbed(t, false)
	for dir, want := range map[int]bpf.HotspotReason{bpf.Upload: malformed, bpf.Download: noRule} {
		b.expect(dir, build(t, l2(dir, etherIPv6), ip6(dir, "::", protoTCP), tcp(dir, 40000, 8080), blob(100)), want)
	}
}

// TestPortsAreOfThePacket: a packet that ends before its ports has none, whatever stands
// in the frame after it.
func TestPortsAreOfThePacket(t *testing.T) {
	dns := build(t, append([]layer{l2(bpf.Upload, etherIPv4)}, dns4(bpf.Upload)...)...)
	dns[16], dns[17] = 0, 23 // the IP packet: 3 bytes of UDP
	b := newTestbed(t, false)
	b.expect(bpf.Upload, dns, noRule)

	solicit := build(t, append([]layer{l2(bpf.Upload, etherIPv6)}, nd(bpf.Upload, routerLL, 135)...)...)
	solicit[18], solicit[19] = 0, 0 // no payload
	b.expect(bpf.Upload, solicit, noRule)
}

// TestARPCarriesNothing: ARP with the padding that switches leave is allowed, and no longer one.
func TestARPCarriesNothing(t *testing.T) {
	b := newTestbed(t, false)
	for padding, want := range map[int]bpf.HotspotReason{0: preauth, 18: preauth, 36: preauth, 37: noRule, 1400: noRule} {
		for dir, to := range map[int]dataplane.MAC{bpf.Upload: routerMAC, bpf.Download: broadcastMAC} {
			from, to := ends(bpf.Upload, clientMAC, to)
			if dir == bpf.Download {
				from = routerMAC
			}
			b.expect(dir, build(t, ether(from, to, etherARP), arp(1), blob(padding)), want)
		}
	}
}

// TestRouterInTheGarden: where the operator has the router in the walled garden, a packet
// to it with options could be one to anywhere.
func TestRouterInTheGarden(t *testing.T) {
	ip := ip4(bpf.Upload, routerGarden4, protoUDP)
	plain := build(t, l2(bpf.Upload, etherIPv4), ip, udp(bpf.Upload, 1, 2), blob(40))
	ip.Options = []layers.IPv4Option{{OptionType: 131, OptionLength: 7, OptionData: []byte{4, 198, 51, 100, 7}}} // loose source route
	routed := build(t, l2(bpf.Upload, etherIPv4), ip, udp(bpf.Upload, 1, 2), blob(40))
	b := newTestbed(t, false)
	b.expect(bpf.Upload, plain, preauth)
	b.expect(bpf.Upload, routed, noRule)
}

// TestImpostorAtAPort: a neighbour with the router's MAC cannot have a customer pay for
// what it sends.
func TestImpostorAtAPort(t *testing.T) {
	b := newTestbed(t, true)
	frame := build(t, ether(routerMAC, clientMAC, etherIPv4), ip4(bpf.Download, server4, protoUDP), udp(bpf.Download, 1, 2), blob(1000))
	b.grant(clientMAC, dataplane.Rule{Verdict: dataplane.Allow, Account: 7, LimitBytes: dataplane.NoLimit})
	b.expect(bpf.Upload, frame, malformed)
}
