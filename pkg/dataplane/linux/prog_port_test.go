// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"testing"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
)

// TestPortMode: on a bridge port, frames between stations are bridged, and those
// from or to the router follow the rules, as do those to all.
func TestPortMode(t *testing.T) {
	bridgedUp := build(t, ether(clientMAC, neighborMAC, etherIPv4), ip4(upload, "10.0.0.51", protoUDP), udp(upload, 1, 2), blob(100))
	bridgedDown := build(t, ether(neighborMAC, clientMAC, etherIPv4), ip4(download, "10.0.0.51", protoUDP), udp(download, 1, 2), blob(100))
	toAll := build(t, ether(clientMAC, broadcastMAC, etherARP), arp(1))
	noise := build(t, ether(clientMAC, broadcastMAC, 0xffff), blob(60))
	fromAll := build(t, ether(routerMAC, broadcastMAC, etherARP), arp(1))
	broken := build(t, ether(clientMAC, neighborMAC, etherIPv4), blob(60))
	tests := []struct {
		name         string
		dir          int
		frame        []byte
		unpaid, paid hotspotReason
	}{
		{"to another station", upload, bridgedUp, bridged, bridged},
		{"from another station", download, bridgedDown, bridged, bridged},
		{"malformed to another station", upload, broken, bridged, bridged},
		{"to the router", upload, packet4(t, upload, 500), noRule, forwarded},
		{"from the router", download, packet4(t, download, 500), noRule, forwarded},
		{"ARP to all", upload, toAll, preauth, local},
		{"noise to all", upload, noise, noRule, local},
		{"ARP from the router to all", download, fromAll, preauth, preauth},
	}
	b := newTestbed(t, true)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := b.clean(t)
			b.expect(test.dir, test.frame, test.unpaid)
			b.grant(clientMAC, dataplane.Rule{Verdict: dataplane.Allow, Account: 7, LimitBytes: dataplane.NoLimit})
			b.expect(test.dir, test.frame, test.paid)
			if spent := b.counted(7).Spent(); (spent != 0) != (test.paid == forwarded) {
				t.Errorf("%s, and %d bytes spent", reasonLabels[test.paid], spent)
			}
		})
	}
}

// TestPortModeBlocks: a blocked device reaches its neighbours, not the router.
func TestPortModeBlocks(t *testing.T) {
	b := newTestbed(t, true)
	b.grant(clientMAC, dataplane.Rule{Verdict: dataplane.Block})
	b.expect(upload, packet4(t, upload, 500), blocked)
	b.expect(upload, build(t, ether(clientMAC, neighborMAC, etherIPv4), ip4(upload, "10.0.0.51", protoUDP), blob(100)), bridged)
}

// TestWholeInterface: elsewhere the router's MACs do not matter.
func TestWholeInterface(t *testing.T) {
	b := newTestbed(t, false)
	b.expect(upload, build(t, ether(clientMAC, neighborMAC, etherIPv4), ip4(upload, server4, protoUDP), udp(upload, 1, 2)), noRule)
}
