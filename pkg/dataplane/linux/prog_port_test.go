// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"testing"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/bpf"
)

// TestPortMode: on a bridge port, frames between stations are bridged, and those
// from or to the router follow the rules, as do those to all.
func TestPortMode(t *testing.T) {
	bridgedUp := build(t, ether(clientMAC, neighborMAC, etherIPv4), ip4(bpf.Upload, "10.0.0.51", protoUDP), udp(bpf.Upload, 1, 2), blob(100))
	bridgedDown := build(t, ether(neighborMAC, clientMAC, etherIPv4), ip4(bpf.Download, "10.0.0.51", protoUDP), udp(bpf.Download, 1, 2), blob(100))
	toAll := build(t, ether(clientMAC, broadcastMAC, etherARP), arp(1))
	noise := build(t, ether(clientMAC, broadcastMAC, 0xffff), blob(60))
	fromAll := build(t, ether(routerMAC, broadcastMAC, etherARP), arp(1))
	broken := build(t, ether(clientMAC, neighborMAC, etherIPv4), blob(60))
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
