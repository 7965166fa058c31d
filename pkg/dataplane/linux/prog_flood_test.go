// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"encoding/binary"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/gopacket/gopacket/layers"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/bpf"
)

// TestStrangersWriteNothing: whatever an unknown device sends, only the statistics count
// it. DNS before paying has its own map, see TestDNSBucketsOfManyMACs.
func TestStrangersWriteNothing(t *testing.T) {
	const macs = 1000
	b := newTestbed(t, false)
	b.grant(clientMAC, dataplane.Rule{Verdict: dataplane.Allow, Account: 7, LimitBytes: dataplane.NoLimit})
	broadcast := ether(neighborMAC, broadcastMAC, layers.EthernetTypeARP)
	for name, frame := range map[string][]byte{
		"to the internet":  udp4(t, bpf.Upload, 100),
		"to the portal":    build(t, l2(bpf.Upload, etherIPv4), ip4(bpf.Upload, router4, protoTCP), tcp(bpf.Upload, 1, 8080)),
		"to the garden":    build(t, l2(bpf.Upload, etherIPv4), ip4(bpf.Upload, garden4, protoTCP), tcp(bpf.Upload, 1, 443)),
		"ARP":              build(t, broadcast, arp(1)),
		"ND":               build(t, append([]layer{l2(bpf.Upload, etherIPv6)}, nd(bpf.Upload, router6, 135)...)...),
		"DHCP":             build(t, l2(bpf.Upload, etherIPv4), ip4(bpf.Upload, "255.255.255.255", protoUDP), udp(bpf.Upload, 68, 67), blob(244)),
		"of no known kind": build(t, ether(neighborMAC, routerMAC, 0x88b5), blob(46)),
	} {
		for n := range uint32(macs) {
			binary.BigEndian.PutUint32(frame[8:], n)
			if _, err := b.send(bpf.Upload, frame, 0); err != nil {
				t.Fatal(err)
			}
		}
		for what, c := range map[string]struct {
			m    *ebpf.Map
			want int
		}{"client_index": {b.ClientIndex, 1}, "preauth_buckets": {b.PreauthBuckets, 0}, "router_macs": {b.RouterMacs, 1}} {
			if got := entries(t, c.m); got != c.want {
				t.Errorf("%s: %d %s, want %d", name, got, what, c.want)
			}
		}
	}
	for index, u := range b.accounts.At {
		if want := (bpf.HotspotAccount{Id: u.Id}); u != want {
			t.Errorf("account %d is %+v", index, u)
		}
	}
	if events := b.events(); len(events) > 0 {
		t.Errorf("events %+v, want none", events)
	}
}

func entries(t *testing.T, m *ebpf.Map) (n int) {
	var key, value []byte
	all := m.Iterate()
	for all.Next(&key, &value) {
		n++
	}
	if err := all.Err(); err != nil {
		t.Fatal(err)
	}
	return n
}
