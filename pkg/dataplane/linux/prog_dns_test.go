// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"testing"
	"time"

	"github.com/cilium/ebpf"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/bpf"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/kernel"
)

// The speed of DNS before paying.
const (
	dnsBytesPerSecond = 1_000_000_000 / int(bpf.HotspotAbiABI_DNS_NS_PER_BYTE)
	dnsBurstBytes     = int(bpf.HotspotAbiABI_DNS_BURST_BYTES)
	dnsMACs           = int(bpf.HotspotAbiABI_DNS_MACS) // the total, in MACs
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
	for i := range 3 * int(b.DnsBuckets.MaxEntries()) {
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
