// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"testing"

	"github.com/gopacket/gopacket/layers"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/bpf"
)

// TestPortMode: on a bridge port, frames between stations are bridged, and those from or to
// the router follow the rules. A frame to a group is for the router too where it comes in; at
// the other ports it is bridged, unless the router sent it, of its own or as it routes
// multicast.
func TestPortMode(t *testing.T) {
	bridgedUp := build(t, ether(clientMAC, neighborMAC, etherIPv4), ip4(bpf.Upload, "10.0.0.51", protoUDP), udp(bpf.Upload, 1, 2), blob(100))
	bridgedDown := build(t, ether(neighborMAC, clientMAC, etherIPv4), ip4(bpf.Download, "10.0.0.51", protoUDP), udp(bpf.Download, 1, 2), blob(100))
	toAll := build(t, ether(clientMAC, broadcastMAC, etherARP), arp(1))
	noise := build(t, ether(clientMAC, broadcastMAC, 0xffff), blob(60))
	fromAll := build(t, ether(routerMAC, broadcastMAC, etherARP), arp(1))
	broken := build(t, ether(clientMAC, neighborMAC, etherIPv4), blob(60))
	fromNeighbor := build(t, ether(neighborMAC, broadcastMAC, etherARP), arp(1))
	noiseOfNeighbor := build(t, ether(neighborMAC, broadcastMAC, 0xffff), blob(60))
	mdns := func(dir int, from dataplane.MAC, peer string) []byte {
		ip := ip4(dir, peer, protoUDP)
		ip.DstIP = []byte{224, 0, 0, 251}
		return build(t, ether(from, dataplane.MAC{1, 0, 0x5e, 0, 0, 0xfb}, etherIPv4), ip, udp(dir, 5353, 5353), blob(40))
	}
	ssdp := build(t, ether(neighborMAC, dataplane.MAC{1, 0, 0x5e, 0x7f, 0xff, 0xfa}, etherIPv4), ip4(bpf.Download, other4, protoUDP), udp(bpf.Download, 1900, 1900), blob(40))
	television := build(t, ether(routerMAC, dataplane.MAC{1, 0, 0x5e, 1, 1, 1}, etherIPv4), ip4(bpf.Download, server4, protoUDP), udp(bpf.Download, 1, 2), blob(1000))
	tagged := build(t, l2(bpf.Upload, etherVLAN), tag(uplinkVLAN, etherIPv4), ip4(bpf.Upload, server4, protoUDP), blob(100))
	bpdu := build(t, ether(clientMAC, dataplane.MAC{0x01, 0x80, 0xc2, 0, 0, 0}, layers.EthernetTypeLLC), blob(46))
	tests := []struct {
		name         string
		dir          int
		frame        []byte
		unpaid, paid bpf.HotspotReason
	}{
		{"to another station", bpf.Upload, bridgedUp, bridged, bridged},
		{"from another station", bpf.Download, bridgedDown, bridged, bridged},
		{"malformed to another station", bpf.Upload, broken, bridged, bridged},
		{"to the router", bpf.Upload, packet4(t, bpf.Upload, 500), noRule, forwarded},
		{"from the router", bpf.Download, packet4(t, bpf.Download, 500), noRule, forwarded},
		{"ARP to all", bpf.Upload, toAll, preauth, local},
		{"noise to all", bpf.Upload, noise, noRule, local},
		{"ARP from the router to all", bpf.Download, fromAll, preauth, preauth},
		{"ARP from another station to all", bpf.Download, fromNeighbor, bridged, bridged},
		{"noise from another station to all", bpf.Download, noiseOfNeighbor, bridged, bridged},
		{"mDNS", bpf.Upload, mdns(bpf.Upload, clientMAC, "224.0.0.251"), noRule, local},
		{"mDNS from another station", bpf.Download, mdns(bpf.Download, neighborMAC, other4), bridged, bridged},
		{"mDNS from the router", bpf.Download, mdns(bpf.Download, routerMAC, router4), preauth, preauth},
		{"SSDP from another station", bpf.Download, ssdp, bridged, bridged},
		{"multicast that is routed", bpf.Download, television, noRule, noRule},
		{"uplink in a VLAN", bpf.Upload, tagged, otherVLAN, otherVLAN},
		{"spanning tree", bpf.Upload, bpdu, linkControl, linkControl},
	}
	b := newTestbed(t, true)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := b.clean(t)
			b.expect(test.dir, test.frame, test.unpaid)
			b.grant(clientMAC, dataplane.Rule{Verdict: dataplane.Allow, Account: 7, LimitBytes: dataplane.NoLimit})
			b.expect(test.dir, test.frame, test.paid)
			if spent := b.counted(7).Spent(); (spent != 0) != (test.paid == forwarded) {
				t.Errorf("%s, and %d bytes spent", bpf.ReasonLabels[test.paid], spent)
			}
		})
	}
}

// TestPortModeWhenFull: where the programs do not know all MACs of the router, no frame is
// certain to be bridged, and what may be the router's is judged.
func TestPortModeWhenFull(t *testing.T) {
	up := build(t, ether(clientMAC, neighborMAC, etherIPv4), ip4(bpf.Upload, server4, protoUDP), udp(bpf.Upload, 1, 2), blob(100))
	down := build(t, ether(neighborMAC, clientMAC, etherIPv4), ip4(bpf.Download, server4, protoUDP), udp(bpf.Download, 1, 2), blob(100))
	toAll := build(t, ether(neighborMAC, broadcastMAC, 0xffff), blob(60))
	b := newTestbed(t, true)
	b.expect(bpf.Upload, up, bridged)
	b.setMACsFull(true)
	b.expect(bpf.Upload, up, noRule)
	b.expect(bpf.Download, down, noRule)
	b.expect(bpf.Download, toAll, noRule)
	b.grant(clientMAC, dataplane.Rule{Verdict: dataplane.Allow, Account: 7, LimitBytes: dataplane.NoLimit})
	b.expect(bpf.Upload, up, forwarded)
	b.expect(bpf.Download, down, forwarded)
	if spent := b.counted(7).Spent(); spent != 2*128 {
		t.Errorf("%d bytes spent, want 256", spent)
	}
	b.setMACsFull(false)
	b.expect(bpf.Upload, up, bridged)
}

// TestPortModeBlocks: a blocked device reaches its neighbours, not the router.
func TestPortModeBlocks(t *testing.T) {
	b := newTestbed(t, true)
	b.grant(clientMAC, dataplane.Rule{Verdict: dataplane.Block})
	b.expect(bpf.Upload, packet4(t, bpf.Upload, 500), blocked)
	b.expect(bpf.Upload, build(t, ether(clientMAC, neighborMAC, etherIPv4), ip4(bpf.Upload, "10.0.0.51", protoUDP), blob(100)), bridged)
}

// TestWholeInterface: elsewhere the router's MACs do not matter.
func TestWholeInterface(t *testing.T) {
	b := newTestbed(t, false)
	b.expect(bpf.Upload, build(t, ether(clientMAC, neighborMAC, etherIPv4), ip4(bpf.Upload, server4, protoUDP), udp(bpf.Upload, 1, 2)), noRule)
}
