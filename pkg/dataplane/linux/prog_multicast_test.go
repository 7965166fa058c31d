// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"bytes"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/bpf"
)

// TestMulticastStaysOnTheLink: what a connected client sends to a group is free, and so it
// must not be routed. A packet that a multicast router would forward gets the hop limit at
// which none does; one that stays on the link by its address is as it was sent.
func TestMulticastStaysOnTheLink(t *testing.T) {
	to4 := func(group string, hops uint8) []byte {
		ip := ip4(bpf.Upload, group, protoUDP)
		ip.TTL = hops
		return withChecksum(build(t, ether(clientMAC, dataplane.MAC{1, 0, 0x5e, 1, 1, 1}, etherIPv4), ip, udp(bpf.Upload, 1, 2), blob(40)), 14)
	}
	to6 := func(group string, hops uint8) []byte {
		ip := ip6(bpf.Upload, group, protoUDP)
		ip.HopLimit = hops
		return build(t, ether(clientMAC, dataplane.MAC{0x33, 0x33, 0, 0, 0, 1}, etherIPv6), ip, udp(bpf.Upload, 1, 2), blob(40))
	}
	ip := ip4(bpf.Upload, "232.1.1.1", protoUDP)
	tagged := withChecksum(build(t, ether(clientMAC, dataplane.MAC{1, 0, 0x5e, 1, 1, 1}, etherVLAN), tag(0, etherIPv4), ip, blob(40)), 18)
	for _, test := range []struct {
		name  string
		frame []byte
		hops  int // where the hop limit is, if it becomes 1; else 0
	}{
		{"a group of the world", to4("232.1.1.1", 64), 14 + 8},
		{"the first that is routed", to4("224.0.1.0", 2), 14 + 8},
		{"SSDP", to4("239.255.255.250", 4), 14 + 8},
		{"with a priority tag", tagged, 18 + 8},
		{"for the link alone", to4("239.255.255.250", 1), 0},
		{"mDNS", to4("224.0.0.251", 255), 0},
		{"broadcast", to4("255.255.255.255", 64), 0},
		{"the network's broadcast", to4("10.0.0.255", 64), 0},
		{"IPv6 of the world", to6("ff0e::1", 64), 14 + 7},
		{"IPv6 of the site", to6("ff05::1:3", 64), 14 + 7},
		{"IPv6 of the link", to6("ff02::fb", 255), 0},
		{"IPv6 of the link, transient", to6("ff12::77", 255), 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newTestbed(t, false)
			b.grant(clientMAC, dataplane.Rule{Verdict: dataplane.Allow, Account: 7, LimitBytes: dataplane.NoLimit})
			b.expect(bpf.Upload, test.frame, local)
			want := bytes.Clone(test.frame)
			if test.hops != 0 {
				want[test.hops] = 1
			}
			if test.hops == 14+8 || test.hops == 18+8 {
				want = withChecksum(want, test.hops-8)
			}
			got := make([]byte, len(test.frame))
			if _, err := b.FromClient.Run(&ebpf.RunOptions{Data: test.frame, DataOut: got}); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("the frame became\n%x, want\n%x", got, want)
			}
		})
	}
}

// withChecksum sets the checksum of the IPv4 header of 20 bytes at an offset.
func withChecksum(frame []byte, at int) []byte {
	header := frame[at : at+20]
	header[10], header[11] = 0, 0
	var sum uint32
	for i := 0; i < len(header); i += 2 {
		sum += uint32(header[i])<<8 | uint32(header[i+1])
	}
	sum = sum>>16 + sum&0xffff
	sum = ^(sum>>16 + sum)
	header[10], header[11] = byte(sum>>8), byte(sum)
	return frame
}
