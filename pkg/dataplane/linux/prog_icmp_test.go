// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/bpf"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/kernel"
)

// What is open before paying needs the errors that belong to it: a flow whose ICMP errors
// are lost hangs where a link on its way is narrow. An error quotes what it is about, and
// anyone can write a quote: an error is as narrow as its purpose, and too slow for a tunnel.

// sentTo is what the client sent to a peer, without its link header, as an error quotes it.
func sentTo(t testing.TB, parts ...layer) []byte { return build(t, parts...) }

// icmpError is an IPv4 error from a router with some bytes of quote.
func icmpError(t testing.TB, dir int, from string, kind byte, quoted []byte) []byte {
	return build(t, l2(dir, etherIPv4), ip4(dir, from, layers.IPProtocolICMPv4),
		gopacket.Payload{kind, 4, 0, 0, 0, 0, 5, 0x78}, gopacket.Payload(quoted))
}

// icmp6Error is the same of IPv6.
func icmp6Error(t testing.TB, dir int, from string, kind byte, quoted []byte) []byte {
	return build(t, l2(dir, etherIPv6), ip6(dir, from, protoICMPv6),
		gopacket.Payload{kind, 0, 0, 0, 0, 0, 5, 0x78}, gopacket.Payload(quoted))
}

func errorCases(t *testing.T) []frameCase {
	const upstream4, upstream6 = "198.51.100.1", "2001:db8:77::1" // a router on the way
	const down = bpf.Download
	garden := sentTo(t, ip4(bpf.Upload, garden4, protoTCP), tcp(bpf.Upload, 40000, 443), blob(1400))[:28] // the least that is quoted
	long := sentTo(t, ip4(bpf.Upload, garden4, protoTCP), tcp(bpf.Upload, 40000, 443), blob(1400))
	garden6 := sentTo(t, ip6(bpf.Upload, garden6, protoTCP), tcp(bpf.Upload, 40000, 443), blob(1400))
	to := func(peer string, transport ...layer) []byte {
		return sentTo(t, append([]layer{ip4(bpf.Upload, peer, protoUDP)}, transport...)...)
	}
	dns, internet := to(router4, udp(bpf.Upload, 40000, 53), blob(40)), to(server4, udp(bpf.Upload, 40000, 443), blob(40))
	other := ip4(bpf.Upload, garden4, protoTCP)
	other.SrcIP = []byte{10, 0, 0, 51}
	answer := sentTo(t, ip4(bpf.Download, garden4, protoTCP), tcp(bpf.Download, 40000, 443), blob(40))
	piece := ip4(bpf.Upload, portal4, protoTCP)
	piece.FragOffset = 100
	gardenPiece := ip4(bpf.Upload, garden4, protoTCP)
	gardenPiece.FragOffset = 100
	mapped := sentTo(t, ip6(bpf.Upload, "2001:db8::1", protoTCP), tcp(bpf.Upload, 40000, 443))
	copy(mapped[24:], append(make([]byte, 10), 0xff, 0xff, 192, 0, 2, 77))
	inFragment := func() []byte {
		ip := ip4(down, router4, layers.IPProtocolICMPv4)
		ip.Flags = layers.IPv4MoreFragments
		return build(t, l2(down, etherIPv4), ip, gopacket.Payload{3, 4, 0, 0, 0, 0, 5, 0x78}, gopacket.Payload(garden))
	}
	return []frameCase{
		{"fragmentation needed", down, icmpError(t, down, router4, 3, garden), preauth, local, 0},
		{"time exceeded", down, icmpError(t, down, router4, 11, garden), preauth, local, 0},
		{"parameter problem", down, icmpError(t, down, router4, 12, garden), preauth, local, 0},
		{"packet too big", down, icmp6Error(t, down, router6, 2, garden6[:48]), preauth, local, 0},
		{"unreachable over IPv6", down, icmp6Error(t, down, routerLL, 1, garden6[:1232]), preauth, local, 0},
		{"parameter problem over IPv6", down, icmp6Error(t, down, router6, 4, garden6[:40]), preauth, local, 0},
		{"from a router on the way", down, icmpError(t, down, upstream4, 3, garden), preauth, forwarded, 56},
		{"from a router on the way over IPv6", down, icmp6Error(t, down, upstream6, 2, garden6[:48]), preauth, forwarded, 96},
		{"about a later fragment to the garden", down, icmpError(t, down, router4, 11, sentTo(t, gardenPiece, blob(40))), preauth, local, 0},
		{"about DNS", down, icmpError(t, down, router4, 3, dns), preauth, local, 0},
		{"about DNS, from a router on the way", down, icmpError(t, down, upstream4, 3, dns), noRule, forwarded, 96},
		{"about the portal", down, icmpError(t, down, router4, 3, sentTo(t, ip4(bpf.Upload, router4, protoTCP), tcp(bpf.Upload, 1, 8080))), preauth, local, 0},
		{"about the portal, from a router on the way", down, icmpError(t, down, upstream4, 3, sentTo(t, ip4(bpf.Upload, router4, protoTCP), tcp(bpf.Upload, 1, 8080))), noRule, forwarded, 68},
		{"about a portal elsewhere", down, icmpError(t, down, upstream4, 3, sentTo(t, ip4(bpf.Upload, portal4, protoTCP), tcp(bpf.Upload, 1, 443))), preauth, forwarded, 68},
		{"as long as it may be", down, icmpError(t, down, router4, 3, long[:548]), preauth, local, 0},

		{"longer", down, icmpError(t, down, router4, 3, long[:549]), noRule, local, 0},
		{"longer over IPv6", down, icmp6Error(t, down, router6, 2, garden6[:1233]), noRule, local, 0},
		{"no error", down, icmpError(t, down, router4, 8, garden), noRule, local, 0},
		{"redirect", down, icmpError(t, down, router4, 5, garden), noRule, local, 0},
		{"source quench", down, icmpError(t, down, router4, 4, garden), noRule, local, 0},
		{"echo over IPv6", down, icmp6Error(t, down, router6, 128, garden6[:48]), noRule, local, 0},
		{"reserved type over IPv6", down, icmp6Error(t, down, router6, 0, garden6[:48]), noRule, local, 0},
		{"about another flow", down, icmpError(t, down, router4, 3, internet), noRule, local, 0},
		{"about another flow, from the internet", down, icmpError(t, down, server4, 3, internet), noRule, forwarded, 96},
		{"about another device's flow", down, icmpError(t, down, router4, 3, sentTo(t, other, tcp(bpf.Upload, 1, 443))), noRule, local, 0},
		{"about an answer", down, icmpError(t, down, router4, 3, answer), noRule, local, 0},
		{"about DNS elsewhere", down, icmpError(t, down, router4, 3, to(server4, udp(bpf.Upload, 40000, 53))), noRule, local, 0},
		{"about another service of the router", down, icmpError(t, down, router4, 3, to(router4, udp(bpf.Upload, 40000, 54))), noRule, local, 0},
		{"about a later fragment to a portal", down, icmpError(t, down, router4, 3, sentTo(t, piece, gopacket.Payload{0, 1, 1, 0xbb}, blob(40))), noRule, local, 0},
		{"quote cut before the address", down, icmpError(t, down, router4, 3, garden[:19]), noRule, local, 0},
		{"quote without ports, DNS", down, icmpError(t, down, router4, 3, dns[:23]), noRule, local, 0},
		{"quote of IPv6", down, icmpError(t, down, router4, 3, garden6[:48]), noRule, local, 0},
		{"IPv6 with a quote of IPv4", down, icmp6Error(t, down, router6, 2, append(garden[:28:28], make([]byte, 40)...)), noRule, local, 0},
		{"the garden's IPv4 address as IPv6", down, icmp6Error(t, down, router6, 2, mapped), noRule, local, 0},
		{"in a fragment", down, inFragment(), noRule, local, 0},
		{"from the client", bpf.Upload, icmpError(t, bpf.Upload, router4, 3, answer), noRule, local, 0},
		{"from the client to the garden", bpf.Upload, icmpError(t, bpf.Upload, garden4, 3, answer), preauth, forwarded, 108},
	}
}

// TestErrorsBeforePayingAreSlow: as slow as DNS, and apart from it, for each MAC and for all.
func TestErrorsBeforePayingAreSlow(t *testing.T) {
	const wire = 576
	b := newTestbed(t, false)
	quoted := sentTo(t, ip4(bpf.Upload, garden4, protoTCP), tcp(bpf.Upload, 40000, 443), blob(1400))[:wire-28]
	frame := icmpError(t, bpf.Download, server4, 3, quoted)
	start, passed := kernel.BootNow(), 0
	for range 2 * dnsBurstBytes / wire {
		switch reason := b.run(bpf.Download, frame, 0).Reason; reason {
		case preauth:
			passed += wire
		case dnsDrop:
		default:
			t.Fatalf("%s, want %s or %s", bpf.ReasonLabels[reason], bpf.ReasonLabels[preauth], bpf.ReasonLabels[dnsDrop])
		}
	}
	if most := dnsMost(start); passed > most || passed < dnsBurstBytes-wire {
		t.Errorf("%d bytes at once, want %d to %d", passed, dnsBurstBytes-wire, most)
	}
	b.expect(bpf.Upload, build(t, append([]layer{l2(bpf.Upload, etherIPv4)}, dns4(bpf.Upload)...)...), preauth)

	for i := range 2 * dnsMACs * dnsBurstBytes / wire {
		frame[3], frame[4] = byte(i>>8), byte(i)
		ok, err := b.send(bpf.Download, frame, 0)
		check(t, err)
		if ok {
			passed += wire
		}
	}
	if most := dnsMACs * dnsMost(start); passed > most {
		t.Errorf("%d bytes to many MACs, want %d at most", passed, most)
	}
	b.grant(dataplane.MAC(frame[:6]), dataplane.Rule{Verdict: dataplane.Allow, Account: 7, LimitBytes: dataplane.NoLimit})
	b.expect(bpf.Download, frame, forwarded) // a connected client has its own speed
}
