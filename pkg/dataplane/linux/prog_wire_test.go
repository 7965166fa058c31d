// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/gopacket/gopacket/layers"
	"pgregory.net/rapid"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/bpf"
)

// segmented is what a super-packet is on the wire, counted segment by segment.
func segmented(headers, payload, size int) (bytes uint64, packets uint64) {
	for left := payload; left > 0 || packets == 0; left -= size {
		bytes += uint64(headers + min(left, size))
		packets++
	}
	return bytes, packets
}

// superCase is a kind of super-packet, by its headers from IP on.
type superCase struct {
	name    string
	headers int
	frame   func(t testing.TB, dir, payload int) []byte
}

func superCases() []superCase {
	return []superCase{
		{"TCP", 40, func(t testing.TB, dir, n int) []byte {
			return build(t, l2(dir, etherIPv4), ip4(dir, server4, protoTCP), tcp(dir, 1, 2), blob(n))
		}},
		{"TCP with options", 52, func(t testing.TB, dir, n int) []byte {
			segment := tcp(dir, 1, 2)
			segment.Options = []layers.TCPOption{{OptionType: 8, OptionLength: 10, OptionData: make([]byte, 8)}}
			return build(t, l2(dir, etherIPv4), ip4(dir, server4, protoTCP), segment, blob(n))
		}},
		{"UDP", 28, udp4},
		{"TCP over IPv6", 60, func(t testing.TB, dir, n int) []byte {
			return build(t, l2(dir, etherIPv6), ip6(dir, server6, protoTCP), tcp(dir, 1, 2), blob(n))
		}},
		{"UDP over IPv6", 48, func(t testing.TB, dir, n int) []byte {
			return build(t, l2(dir, etherIPv6), ip6(dir, server6, protoUDP), udp(dir, 1, 2), blob(n))
		}},
		{"TCP behind IPv6 options", 68, func(t testing.TB, dir, n int) []byte {
			parts := []layer{ip6(dir, server6, protoTCP), tcp(dir, 1, 2), blob(n)}
			return build(t, append([]layer{l2(dir, etherIPv6)}, extended(layers.IPProtocolIPv6Destination, hopByHop(), parts)...)...)
		}},
		{"UDP with IPv4 options", 32, func(t testing.TB, dir, n int) []byte {
			ip := ip4(dir, server4, protoUDP)
			ip.Options = []layers.IPv4Option{{OptionType: 1}, {OptionType: 1}, {OptionType: 1}, {OptionType: 0}}
			return build(t, l2(dir, etherIPv4), ip, udp(dir, 1, 2), blob(n))
		}},
		{"TCP in a VLAN", 40, func(t testing.TB, dir, n int) []byte {
			return build(t, l2(dir, etherVLAN), tag(5, etherIPv4), ip4(dir, server4, protoTCP), tcp(dir, 1, 2), blob(n))
		}},
		{"TCP in IP", 60, func(t testing.TB, dir, n int) []byte {
			return build(t, l2(dir, etherIPv4), ip4(dir, server4, layers.IPProtocolIPv4), ip4(dir, garden4, protoTCP), tcp(dir, 1, 2), blob(n))
		}},
		{"TCP over IPv6 in IP", 80, func(t testing.TB, dir, n int) []byte {
			return build(t, l2(dir, etherIPv4), ip4(dir, server4, layers.IPProtocolIPv6), ip6(dir, garden6, protoTCP), tcp(dir, 1, 2), blob(n))
		}},
		{"TCP in GRE", 64, func(t testing.TB, dir, n int) []byte {
			return build(t, l2(dir, etherIPv4), ip4(dir, server4, layers.IPProtocolGRE), &layers.GRE{Protocol: etherIPv4},
				ip4(dir, garden4, protoTCP), tcp(dir, 1, 2), blob(n))
		}},
		{"TCP over IPv6 in GRE with key", 88, func(t testing.TB, dir, n int) []byte {
			return build(t, l2(dir, etherIPv4), ip4(dir, server4, layers.IPProtocolGRE), &layers.GRE{Protocol: etherIPv6, KeyPresent: true},
				ip6(dir, garden6, protoTCP), tcp(dir, 1, 2), blob(n))
		}},
	}
}

// TestSuperPackets: each segment is charged with its own headers.
func TestSuperPackets(t *testing.T) {
	b := newTestbed(t, false)
	for _, kind := range superCases() {
		for _, n := range []struct{ payload, size int }{
			{1400, 1400}, // one segment exactly
			{1401, 1400}, // one byte more
			{1399, 1400},
			{2800, 1400},
			{2801, 1400},
			{3000, 100},
			{3000, 7},
			{20, 1},
			{100, 65535},
		} {
			for dir := range bpf.Directions {
				t.Run(kind.name, func(t *testing.T) { testSuperPacket(t, b.clean(t), kind, dir, n.payload, n.size) })
			}
		}
	}
}

func testSuperPacket(t *testing.T, b *testbed, kind superCase, dir, payload, size int) {
	b.grant(clientMAC, dataplane.Rule{Verdict: dataplane.Allow, Account: 7, LimitBytes: dataplane.NoLimit})
	got := b.run(dir, kind.frame(t, dir, payload), uint32(size))
	bytes, packets := segmented(kind.headers, payload, size)
	if want := (outcome{Reason: forwarded, Wire: bytes}); got != want {
		t.Errorf("%d bytes by %d: %v, want %v", payload, size, got, want)
	}
	want := dataplane.Counters{UpBytes: bytes, UpPackets: packets}
	if dir == bpf.Download {
		want = dataplane.Counters{DownBytes: bytes, DownPackets: packets}
	}
	if diff := cmp.Diff(want, b.counted(7), cmpopts.IgnoreFields(dataplane.Counters{}, "LastSeen")); diff != "" {
		t.Errorf("%d bytes by %d: counters (-want +got):\n%s", payload, size, diff)
	}
}

func TestSuperPacketsOfAnySize(t *testing.T) {
	b := newTestbed(t, false)
	kinds := superCases()
	rapid.Check(t, func(r *rapid.T) {
		kind := kinds[rapid.IntRange(0, len(kinds)-1).Draw(r, "kind")]
		payload := rapid.IntRange(20, 3000).Draw(r, "payload")
		size := rapid.IntRange(1, 4000).Draw(r, "size")
		b := b.clean(t)
		b.grant(clientMAC, dataplane.Rule{Verdict: dataplane.Allow, Account: 7, LimitBytes: dataplane.NoLimit})
		got := b.run(bpf.Upload, kind.frame(t, bpf.Upload, payload), uint32(size))
		if bytes, _ := segmented(kind.headers, payload, size); got.Reason != forwarded || got.Wire != bytes {
			r.Fatalf("%v, want %d bytes forwarded", got, bytes)
		}
	})
}

// TestSuperPacketLength: what the IP header says of a super-packet's length does
// not count; BIG TCP leaves it 0.
func TestSuperPacketLength(t *testing.T) {
	b := newTestbed(t, false)
	b.grant(clientMAC, dataplane.Rule{Verdict: dataplane.Allow, Account: 7, LimitBytes: dataplane.NoLimit})
	frame := udp4(t, bpf.Upload, 2000)
	frame[16], frame[17] = 0, 0
	bytes, _ := segmented(28, 2000, 1000)
	if got, want := b.run(bpf.Upload, frame, 1000), (outcome{Reason: forwarded, Wire: bytes}); got != want {
		t.Errorf("%v, want %v", got, want)
	}
}

// TestSuperPacketAtTheLimit: one that is too long is dropped alone while a segment
// of it would fit, and ends the account when not even that does.
func TestSuperPacketAtTheLimit(t *testing.T) {
	b := newTestbed(t, false)
	whole, _ := segmented(28, 3000, 1000)
	b.grant(clientMAC, dataplane.Rule{Verdict: dataplane.Allow, Account: 7, LimitBytes: whole + 1028})
	super := udp4(t, bpf.Upload, 3000)
	for _, want := range []outcome{{Reason: forwarded, Wire: whole}, {Reason: limitDrop, Wire: whole}} {
		if got := b.run(bpf.Upload, super, 1000); got != want {
			t.Fatalf("%v, want %v", got, want)
		}
	}
	b.expectEvents()
	b.expect(bpf.Upload, udp4(t, bpf.Upload, 1000), forwarded) // its first segment, alone
	if got := b.run(bpf.Upload, super, 1000); got.Reason != limitDrop {
		t.Errorf("%v, want %s", got, bpf.ReasonLabels[limitDrop])
	}
	b.expectEvents(exhausted(7))
	want := dataplane.Counters{UpBytes: whole + 1028, UpPackets: 4, LimitDrops: 1} // of the last one
	if diff := cmp.Diff(want, b.counted(7), cmpopts.IgnoreFields(dataplane.Counters{}, "LastSeen")); diff != "" {
		t.Errorf("counters (-want +got):\n%s", diff)
	}
}

// TestSuperPacketIsNoAllowance: an account that a super-packet does not fit is not
// ended, and the walled garden not yet free.
func TestSuperPacketIsNoAllowance(t *testing.T) {
	b := newTestbed(t, false)
	b.grant(clientMAC, dataplane.Rule{Verdict: dataplane.Allow, Account: 7, LimitBytes: 2000})
	garden := build(t, l2(bpf.Upload, etherIPv4), ip4(bpf.Upload, garden4, protoUDP), udp(bpf.Upload, 1, 2), blob(3000))
	if got := b.run(bpf.Upload, garden, 1000); got.Reason != limitDrop {
		t.Errorf("%v, want %s", got, bpf.ReasonLabels[limitDrop])
	}
	b.expectEvents()
}
