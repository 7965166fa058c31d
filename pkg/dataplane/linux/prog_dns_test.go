// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/gopacket/gopacket/layers"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/bpf"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/kernel"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/tables"
)

// The speed of DNS before paying, and of free DNS after it.
const (
	dnsBytesPerSecond = 1_000_000_000 / int(bpf.HotspotAbiABI_PREAUTH_NS_PER_BYTE)
	dnsBurstBytes     = int(bpf.HotspotAbiABI_PREAUTH_BURST_BYTES)
	dnsMACs           = int(bpf.HotspotAbiABI_PREAUTH_MACS) // the total, in MACs
	freePerSecond     = 1_000_000_000 / int(bpf.HotspotAbiABI_DNS_NS_PER_BYTE)
	freeBurstBytes    = int(bpf.HotspotAbiABI_DNS_BURST_BYTES)
)

// dnsMost is the most that may have passed since start.
func dnsMost(start dataplane.Boottime) int {
	return dnsBurstBytes + int(kernel.BootNow().Sub(start).Seconds()*float64(dnsBytesPerSecond)) + 1
}

// TestDNSBeforePayingIsSlow: one bucket of both directions and families, for each MAC.
func TestDNSBeforePayingIsSlow(t *testing.T) {
	b := newTestbed(t, false)
	query := build(t, append([]layer{l2(bpf.Upload, etherIPv4)}, dns4(bpf.Upload)...)...)                                         // 68 bytes
	answer := build(t, append([]layer{l2(bpf.Download, etherIPv6)}, dns6(bpf.Download)...)...)                                    // 88 bytes
	long := build(t, l2(bpf.Download, etherIPv4), ip4(bpf.Download, router4, protoUDP), udp(bpf.Download, 40000, 53), blob(1200)) // 600 ms
	start := kernel.BootNow()
	spent := 0
	for {
		if got := b.run(bpf.Upload, query, 0); got.Reason != preauth {
			break
		}
		spent += 68
		if got := b.run(bpf.Download, answer, 0); got.Reason != preauth {
			break
		}
		spent += 88
	}
	if most := dnsMost(start); spent > most || spent < dnsBurstBytes-88 {
		t.Errorf("%d bytes at once, want about %d", spent, dnsBurstBytes)
	}
	b.expect(bpf.Download, long, dnsDrop)

	portal := build(t, l2(bpf.Upload, etherIPv4), ip4(bpf.Upload, router4, protoTCP), tcp(bpf.Upload, 1, 8080), blob(1000))
	b.expect(bpf.Upload, portal, preauth)
	other := build(t, append([]layer{ether(neighborMAC, routerMAC, etherIPv4)}, dns4(bpf.Upload)...)...)
	b.expect(bpf.Upload, other, preauth)

	b.grant(clientMAC, dataplane.Rule{Verdict: dataplane.Allow, Account: 7, LimitBytes: dataplane.NoLimit})
	b.expect(bpf.Download, long, local) // a paying client is not slowed
	b.grant(clientMAC, dataplane.Rule{Verdict: dataplane.Allow, Account: 7, LimitBytes: dataplane.NoLimit, Deadline: 1})
	b.expect(bpf.Download, long, dnsDrop)
	if got := b.counted(7).DeadlineDrops; got != 1 {
		t.Errorf("%d frames dropped after the deadline, want 1", got)
	}
}

// TestDNSRefills: the bucket gives back what time brings, and no more.
func TestDNSRefills(t *testing.T) {
	b := newTestbed(t, false)
	query := build(t, append([]layer{l2(bpf.Upload, etherIPv4)}, dns4(bpf.Upload)...)...)
	start := kernel.BootNow()
	o := b.offer(bpf.Upload, query, 300*time.Millisecond, preauth)
	least := dnsBurstBytes + int(o.until.Sub(start).Seconds()*float64(dnsBytesPerSecond)) - 2*68
	if spent, most := int(o.passed), dnsMost(start); spent > most || spent < least {
		t.Errorf("%d bytes, want %d to %d", spent, least, most)
	}
}

// TestDNSBucketsOfManyMACs: unknown devices fill no map; the oldest make room.
func TestDNSBucketsOfManyMACs(t *testing.T) {
	b := newTestbed(t, false)
	query := build(t, append([]layer{l2(bpf.Upload, etherIPv4)}, dns4(bpf.Upload)...)...)
	for i := range 3 * int(b.PreauthBuckets.MaxEntries()) {
		query[9], query[10] = byte(i>>8), byte(i)
		passed, err := b.send(bpf.Upload, query, 0)
		if err != nil {
			t.Fatal(err)
		}
		if !passed {
			t.Fatalf("the first query of device %d was dropped", i)
		}
	}
}

// TestDNSOfAllMACsIsBounded: a device that takes a new MAC for each query has a full bucket
// each time, and all of them have a total. Paying clients are not in it.
func TestDNSOfAllMACsIsBounded(t *testing.T) {
	const wire, headers = 1228, 28
	b := newTestbed(t, false)
	query := build(t, l2(bpf.Upload, etherIPv4), ip4(bpf.Upload, router4, protoUDP), udp(bpf.Upload, 40000, 53), blob(wire-headers))
	start, passed := kernel.BootNow(), 0
	for i := range 2 * dnsMACs * dnsBurstBytes / wire {
		query[9], query[10] = byte(i>>8), byte(i)
		switch reason := b.run(bpf.Upload, query, 0).Reason; reason {
		case preauth:
			passed += wire
		case dnsDrop:
		default:
			t.Fatalf("%v, want %v or %v", reason, preauth, dnsDrop)
		}
	}
	if least, most := dnsMACs*dnsBurstBytes-wire, dnsMACs*dnsMost(start); passed < least || passed > most {
		t.Errorf("%d bytes of many MACs passed, want %d to %d", passed, least, most)
	}

	query = build(t, append([]layer{l2(bpf.Upload, etherIPv4)}, dns4(bpf.Upload)...)...)
	b.grant(clientMAC, dataplane.Rule{Verdict: dataplane.Allow, Account: 7, LimitBytes: dataplane.NoLimit})
	b.expect(bpf.Upload, query, local)
}

// TestDNSOfOneMACLeavesTheRest: a device that asks too much takes no more of the total than its own
// bucket gives.
func TestDNSOfOneMACLeavesTheRest(t *testing.T) {
	b := newTestbed(t, false)
	query := build(t, append([]layer{l2(bpf.Upload, etherIPv4)}, dns4(bpf.Upload)...)...)
	if _, err := b.FromClient.Run(&ebpf.RunOptions{Data: query, Repeat: uint32(10 * dnsMACs * dnsBurstBytes / len(query))}); err != nil {
		t.Fatal(err)
	}
	b.expect(bpf.Upload, query, dnsDrop)
	other := build(t, append([]layer{ether(neighborMAC, routerMAC, etherIPv4)}, dns4(bpf.Upload)...)...)
	b.expect(bpf.Upload, other, preauth)
}

// Any service by which the router sends on for a client what the client cannot send itself is
// a way past the account: DNS is the one that every router has. What a connected client
// moves through it beyond 64 kbit/s is debited and held to its speed; none of it is dropped
// for being DNS.

// lookups are frames of DNS of a connected client with the router, 1228 bytes long on the wire.
func lookups(t *testing.T) map[string]struct {
	dir   int
	frame []byte
} {
	const wire = 1228
	type lookup = struct {
		dir   int
		frame []byte
	}
	frame4 := func(dir int, transport ...layer) []byte {
		return build(t, append([]layer{l2(dir, etherIPv4)}, transport...)...)
	}
	piece := ip4(bpf.Download, router4, protoUDP)
	piece.FragOffset = 150
	first := ip4(bpf.Download, router4, protoUDP)
	first.Flags = layers.IPv4MoreFragments
	later6 := append([]layer{l2(bpf.Upload, etherIPv6)}, extended(layers.IPProtocolIPv6Fragment, []byte{0, 0, 0, 0x80, 0, 0, 0, 1},
		[]layer{ip6(bpf.Upload, router6, protoUDP), blob(wire - 48)})...)
	return map[string]lookup{
		"query":            {bpf.Upload, frame4(bpf.Upload, ip4(bpf.Upload, router4, protoUDP), udp(bpf.Upload, 40000, 53), blob(wire-28))},
		"answer":           {bpf.Download, frame4(bpf.Download, ip4(bpf.Download, router4, protoUDP), udp(bpf.Download, 40000, 53), blob(wire-28))},
		"query by TCP":     {bpf.Upload, frame4(bpf.Upload, ip4(bpf.Upload, router4, protoTCP), tcp(bpf.Upload, 40000, 53), blob(wire-40))},
		"query by TLS":     {bpf.Upload, frame4(bpf.Upload, ip4(bpf.Upload, router4, protoTCP), tcp(bpf.Upload, 40000, 853), blob(wire-40))},
		"answer by QUIC":   {bpf.Download, frame4(bpf.Download, ip4(bpf.Download, router4, protoUDP), udp(bpf.Download, 40000, 853), blob(wire-28))},
		"query by IPv6":    {bpf.Upload, build(t, l2(bpf.Upload, etherIPv6), ip6(bpf.Upload, router6, protoUDP), udp(bpf.Upload, 40000, 53), blob(wire-48))},
		"answer by IPv6":   {bpf.Download, build(t, l2(bpf.Download, etherIPv6), ip6(bpf.Download, routerLL, protoTCP), tcp(bpf.Download, 40000, 53), blob(wire-60))},
		"first fragment":   {bpf.Download, frame4(bpf.Download, first, udp(bpf.Download, 40000, 53), blob(wire-28))},
		"later fragment":   {bpf.Download, frame4(bpf.Download, piece, blob(wire-20))},
		"fragment by IPv6": {bpf.Upload, build(t, later6...)},
		"to all stations":  {bpf.Upload, build(t, ether(clientMAC, broadcastMAC, etherIPv4), ip4(bpf.Upload, router4, protoUDP), udp(bpf.Upload, 40000, 53), blob(wire-28))},
	}
}

// TestDNSAfterPaying: one bucket of all ways to ask. What is beyond is debited to the byte,
// and nothing is dropped.
func TestDNSAfterPaying(t *testing.T) {
	const wire = 1228
	b := newTestbed(t, false)
	for name, lookup := range lookups(t) {
		t.Run(name, func(t *testing.T) {
			b := b.clean(t)
			b.grant(clientMAC, dataplane.Rule{Verdict: dataplane.Allow, Account: 7, LimitBytes: dataplane.NoLimit})
			start := kernel.BootNow()
			free, debited := 0, 0
			for range 2 * freeBurstBytes / wire {
				switch got := b.run(lookup.dir, lookup.frame, 0); got {
				case outcome{local, wire}:
					free += wire
				case outcome{forwarded, wire}:
					debited += wire
				default:
					t.Fatalf("%s of %d bytes", bpf.ReasonLabels[got.Reason], got.Wire)
				}
			}
			most := freeBurstBytes + int(kernel.BootNow().Sub(start).Seconds()*float64(freePerSecond)) + 1
			if free > most || free < freeBurstBytes-wire {
				t.Errorf("%d bytes were free, want %d to %d", free, freeBurstBytes-wire, most)
			}
			if got := b.counted(7).Spent(); got != uint64(debited) {
				t.Errorf("%d bytes are debited, %d were forwarded", got, debited)
			}
			b.expect(bpf.Upload, build(t, l2(bpf.Upload, etherARP), arp(1)), local)
			portal := build(t, l2(bpf.Upload, etherIPv4), ip4(bpf.Upload, router4, protoTCP), tcp(bpf.Upload, 1, 8080), blob(1000))
			b.expect(bpf.Upload, portal, local) // of other services all is free
		})
	}
}

// TestDNSAfterPayingIsHeld: beyond what is free it has the client's speed, its limit and its
// deadline; after its end it is DNS before paying.
func TestDNSAfterPayingIsHeld(t *testing.T) {
	b := newTestbed(t, false)
	lookup := lookups(t)["query"]
	rule := dataplane.Rule{Verdict: dataplane.Allow, Account: 7, LimitBytes: dataplane.NoLimit, UpBPS: 1_000_000}
	b.grant(clientMAC, rule)
	seen := make(map[bpf.HotspotReason]int)
	for range 3 * freeBurstBytes / 1228 {
		seen[b.run(lookup.dir, lookup.frame, 0).Reason]++
	}
	if seen[local] == 0 || seen[forwarded] == 0 || seen[rateDrop] == 0 || len(seen) != 3 {
		t.Errorf("%v, want some free, some debited, and some over the speed", seen)
	}
	rule.UpBPS, rule.LimitBytes = 0, b.counted(7).Spent()+2*1228
	b.grant(clientMAC, rule)
	b.expect(lookup.dir, lookup.frame, forwarded)
	b.expect(lookup.dir, lookup.frame, forwarded)
	b.expect(lookup.dir, lookup.frame, preauth) // the limit is met
	b.expectEvents(exhausted(7))
}

// TestDNSAfterPayingOutlastsAPause: a pause and another account do not fill the bucket again.
func TestDNSAfterPayingOutlastsAPause(t *testing.T) {
	b := newTestbed(t, false)
	lookup := lookups(t)["answer"]
	b.grant(clientMAC, dataplane.Rule{Verdict: dataplane.Allow, Account: 7, LimitBytes: dataplane.NoLimit})
	for b.run(lookup.dir, lookup.frame, 0).Reason == local {
	}
	b.setRule(clientMAC, bpf.HotspotRule{AccountIndex: tables.NoIndex, FlowsIndex: tables.NoIndex})
	b.grant(clientMAC, dataplane.Rule{Verdict: dataplane.Allow, Account: 8, LimitBytes: dataplane.NoLimit})
	b.expect(lookup.dir, lookup.frame, forwarded)
}
