// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/bpf"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/kernel"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/tables"
)

// Short names for the tables.
const (
	forwarded = bpf.HotspotReasonPASS_FORWARDED
	local     = bpf.HotspotReasonPASS_LOCAL
	preauth   = bpf.HotspotReasonPASS_PREAUTH
	bridged   = bpf.HotspotReasonPASS_BRIDGED
	noRule    = bpf.HotspotReasonDROP_NO_RULE
	blocked   = bpf.HotspotReasonDROP_BLOCKED
	rateDrop  = bpf.HotspotReasonDROP_RATE
	busyDrop  = bpf.HotspotReasonDROP_BUSY
	limitDrop = bpf.HotspotReasonDROP_LIMIT
	lateDrop  = bpf.HotspotReasonDROP_DEADLINE
	malformed = bpf.HotspotReasonDROP_MALFORMED
	dnsDrop   = bpf.HotspotReasonDROP_PREAUTH_RATE
	noAccount = bpf.HotspotReasonDROP_NO_ACCOUNT

	linkControl = bpf.HotspotReasonPASS_LINK_CONTROL
	otherVLAN   = bpf.HotspotReasonPASS_OTHER_VLAN
)

const (
	etherIPv4  = layers.EthernetTypeIPv4
	etherIPv6  = layers.EthernetTypeIPv6
	etherARP   = layers.EthernetTypeARP
	etherEAPOL = layers.EthernetTypeEAPOL
	etherVLAN  = layers.EthernetTypeDot1Q
	etherQinQ  = layers.EthernetTypeQinQ

	protoUDP    = layers.IPProtocolUDP
	protoTCP    = layers.IPProtocolTCP
	protoICMPv6 = layers.IPProtocolICMPv6
)

// frameCase is one frame, what becomes of it before paying and after, and what
// a connected client pays for it.
type frameCase struct {
	name   string
	dir    int
	frame  []byte
	unpaid bpf.HotspotReason
	paid   bpf.HotspotReason
	wire   uint64 // of a forwarded frame
}

// TestFrames judges every frame of the tables in every state of a client.
func TestFrames(t *testing.T) {
	tables := map[string][]frameCase{
		"link":      linkCases(t),
		"configure": configureCases(t),
		"services":  serviceCases(t),
		"tags":      tagCases(t),
		"fragments": fragmentCases(t),
		"other":     otherCases(t),
		"group":     groupCases(t),
		"control":   controlCases(t),
		"vlan":      vlanCases(t),
		"malformed": malformedCases(t),
		"errors":    errorCases(t),
	}
	b := newTestbed(t, false)
	for name, cases := range tables {
		for _, c := range cases {
			t.Run(name+"/"+c.name, func(t *testing.T) { testFrame(t, b.clean(t), c) })
		}
	}
}

func testFrame(t *testing.T, b *testbed, c frameCase) {
	check := func(state string, want bpf.HotspotReason) outcome {
		t.Helper()
		got := b.run(c.dir, c.frame, 0)
		if got.Reason != want {
			t.Errorf("%s: %s, want %s", state, bpf.ReasonLabels[got.Reason], bpf.ReasonLabels[want])
		}
		return got
	}
	check("no rule", c.unpaid)

	b.grant(clientMAC, dataplane.Rule{Verdict: dataplane.Allow, Account: 7, LimitBytes: dataplane.NoLimit})
	got := check("connected", c.paid)
	counted := b.counted(7)
	if c.paid == forwarded && (got.Wire != c.wire || counted.Spent() != c.wire) {
		t.Errorf("%d wire bytes and %d spent, want %d", got.Wire, counted.Spent(), c.wire)
	}
	if c.paid != forwarded && counted.Spent() != 0 {
		t.Errorf("%s, but %d bytes spent", bpf.ReasonLabels[c.paid], counted.Spent())
	}

	b.grant(clientMAC, dataplane.Rule{Verdict: dataplane.Allow, Account: 8, LimitBytes: dataplane.NoLimit, Deadline: 1})
	check("after the deadline", afterEnd(c, lateDrop))
	b.grant(clientMAC, dataplane.Rule{Verdict: dataplane.Allow, Account: 9, LimitBytes: 0})
	check("after the limit", afterEnd(c, limitDrop))
	b.setRule(clientMAC, bpf.HotspotRule{Verdict: uint32(dataplane.Allow), Account: 99, AccountIndex: tables.NoIndex})
	check("without its account", afterEnd(c, noAccount))

	b.grant(clientMAC, dataplane.Rule{Verdict: dataplane.Block})
	check("blocked", whenBlocked(c))
}

// afterEnd: a client that has spent all may do what the unpaid may.
func afterEnd(c frameCase, ended bpf.HotspotReason) bpf.HotspotReason {
	if c.unpaid == noRule && c.paid != noRule {
		return ended
	}
	return c.unpaid
}

// whenBlocked: all is dropped that is of this client alone.
func whenBlocked(c frameCase) bpf.HotspotReason {
	if c.unpaid == linkControl || c.unpaid == otherVLAN {
		return c.unpaid // of no client's account
	}
	isGroup := c.dir == bpf.Download && c.frame[0]&1 != 0
	isFromGroup := c.frame[6]&1 != 0
	isCutInTag := len(c.frame) == 16 || len(c.frame) == 20
	if isGroup || isFromGroup || isCutInTag {
		return c.unpaid
	}
	return blocked
}

func linkCases(t *testing.T) []frameCase {
	odd := arp(layers.ARPRequest)
	odd.AddrType = layers.LinkType(6) // token ring
	foreign := arp(layers.ARPRequest)
	foreign.Protocol = etherIPv6
	short := build(t, l2(bpf.Upload, etherARP), arp(layers.ARPRequest))[:14+27]
	return []frameCase{
		{"ARP request to all", bpf.Upload, build(t, ether(clientMAC, broadcastMAC, etherARP), arp(layers.ARPRequest)), preauth, local, 0},
		{"ARP request to the router", bpf.Upload, build(t, l2(bpf.Upload, etherARP), arp(layers.ARPRequest)), preauth, local, 0},
		{"ARP reply from a client", bpf.Upload, build(t, l2(bpf.Upload, etherARP), arp(layers.ARPReply)), preauth, local, 0},
		{"ARP reply from the router", bpf.Download, build(t, l2(bpf.Download, etherARP), arp(layers.ARPReply)), preauth, local, 0},
		{"reverse ARP", bpf.Upload, build(t, l2(bpf.Upload, etherARP), arp(3)), noRule, local, 0},
		{"ARP of other hardware", bpf.Upload, build(t, l2(bpf.Upload, etherARP), odd), noRule, local, 0},
		{"ARP of another protocol", bpf.Upload, build(t, l2(bpf.Upload, etherARP), foreign), noRule, local, 0},
		{"ARP cut short", bpf.Upload, short, noRule, local, 0},
		{"ARP in a VLAN", bpf.Upload, build(t, l2(bpf.Upload, etherVLAN), tag(5, etherARP), arp(layers.ARPRequest)), noRule, local, 0},
		{"EAPOL from a client", bpf.Upload, build(t, l2(bpf.Upload, etherEAPOL), blob(46)), preauth, local, 0},
		{"EAPOL to a client", bpf.Download, build(t, l2(bpf.Download, etherEAPOL), blob(46)), preauth, local, 0},
		{"EAPOL in a VLAN", bpf.Upload, build(t, l2(bpf.Upload, etherVLAN), tag(5, etherEAPOL), blob(46)), noRule, local, 0},
	}
}

func configureCases(t *testing.T) []frameCase {
	solicit, toAll := "ff02::1:ff00:1", ether(clientMAC, dataplane.MAC{0x33, 0x33, 0xff, 0, 0, 1}, etherIPv6)
	up, down := l2(bpf.Upload, etherIPv6), l2(bpf.Download, etherIPv6)
	near := nd(bpf.Upload, solicit, 135)
	near[0].(*layers.IPv6).HopLimit = 64
	with := func(first layer, rest []layer) []byte { return build(t, append([]layer{first}, rest...)...) }
	dhcp := func(dir int, l2 layer, peer string, client, server layers.UDPPort) []byte {
		return build(t, l2, ip4(dir, peer, protoUDP), udp(dir, client, server), blob(300))
	}
	dhcp6 := func(dir int, l2 layer, peer string, client, server layers.UDPPort) []byte {
		return build(t, l2, ip6(dir, peer, protoUDP), udp(dir, client, server), blob(100))
	}
	all4, all6 := ether(clientMAC, broadcastMAC, etherIPv4), ether(clientMAC, multicastMAC, etherIPv6)
	up4, down4 := l2(bpf.Upload, etherIPv4), l2(bpf.Download, etherIPv4)
	return []frameCase{
		{"router solicitation", bpf.Upload, with(toAll, nd(bpf.Upload, "ff02::2", 133)), preauth, local, 0},
		{"router advertisement by a client", bpf.Upload, with(toAll, nd(bpf.Upload, "ff02::1", 134)), noRule, local, 0},
		{"neighbour solicitation", bpf.Upload, with(toAll, nd(bpf.Upload, solicit, 135)), preauth, local, 0},
		{"neighbour solicitation to the router", bpf.Upload, with(up, nd(bpf.Upload, routerLL, 135)), preauth, local, 0},
		{"neighbour solicitation past the router", bpf.Upload, with(up, nd(bpf.Upload, server6, 135)), noRule, forwarded, 64},
		{"neighbour solicitation forwarded", bpf.Upload, with(toAll, near), noRule, local, 0},
		{"neighbour advertisement", bpf.Upload, with(up, nd(bpf.Upload, router6, 136)), preauth, local, 0},
		{"redirect by a client", bpf.Upload, with(up, nd(bpf.Upload, routerLL, 137)), noRule, local, 0},
		{"echo request to the router", bpf.Upload, with(up, nd(bpf.Upload, routerLL, 128)), noRule, local, 0},
		{"router advertisement", bpf.Download, with(down, nd(bpf.Download, routerLL, 134)), preauth, local, 0},
		{"neighbour solicitation of the router", bpf.Download, with(down, nd(bpf.Download, routerLL, 135)), preauth, local, 0},
		{"neighbour advertisement of the router", bpf.Download, with(down, nd(bpf.Download, router6, 136)), preauth, local, 0},
		{"redirect of the router", bpf.Download, with(down, nd(bpf.Download, routerLL, 137)), preauth, local, 0},
		{"router solicitation to a client", bpf.Download, with(down, nd(bpf.Download, server6, 133)), noRule, forwarded, 64},

		{"DHCP discover", bpf.Upload, dhcp(bpf.Upload, all4, "255.255.255.255", 68, 67), preauth, local, 0},
		{"DHCP renewal", bpf.Upload, dhcp(bpf.Upload, up4, router4, 68, 67), preauth, local, 0},
		{"DHCP from another port", bpf.Upload, dhcp(bpf.Upload, all4, "255.255.255.255", 69, 67), noRule, local, 0},
		{"DHCP to a server elsewhere", bpf.Upload, dhcp(bpf.Upload, up4, server4, 68, 67), noRule, forwarded, 328},
		{"DHCP offer by a client", bpf.Upload, dhcp(bpf.Upload, all4, "255.255.255.255", 67, 68), noRule, local, 0},
		{"DHCP offer", bpf.Download, dhcp(bpf.Download, down4, router4, 68, 67), preauth, local, 0},
		{"DHCP offer from elsewhere", bpf.Download, dhcp(bpf.Download, down4, server4, 68, 67), noRule, forwarded, 328},
		{"DHCP offer from everywhere", bpf.Download, dhcp(bpf.Download, down4, "255.255.255.255", 68, 67), noRule, forwarded, 328},
		{"DHCPv6 solicit", bpf.Upload, dhcp6(bpf.Upload, all6, "ff02::1:2", 546, 547), preauth, local, 0},
		{"DHCPv6 to another group", bpf.Upload, dhcp6(bpf.Upload, all6, "ff05::1:3", 546, 547), noRule, local, 0},
		{"DHCPv6 to the router", bpf.Upload, dhcp6(bpf.Upload, up, routerLL, 546, 547), preauth, local, 0},
		{"DHCPv6 to a server elsewhere", bpf.Upload, dhcp6(bpf.Upload, up, server6, 546, 547), noRule, forwarded, 148},
		{"DHCPv6 reply", bpf.Download, dhcp6(bpf.Download, down, routerLL, 546, 547), preauth, local, 0},
		{"DHCPv6 reply from elsewhere", bpf.Download, dhcp6(bpf.Download, down, server6, 546, 547), noRule, forwarded, 148},
		{"DHCPv6 ports over IPv4", bpf.Upload, dhcp(bpf.Upload, up4, router4, 546, 547), noRule, local, 0},
		{"DHCPv4 ports over IPv6", bpf.Upload, dhcp6(bpf.Upload, up, router6, 68, 67), noRule, local, 0},
	}
}

func serviceCases(t *testing.T) []frameCase {
	u4 := func(dir int, peer string, port layers.UDPPort) []byte {
		return build(t, l2(dir, etherIPv4), ip4(dir, peer, protoUDP), udp(dir, 40000, port), blob(40))
	}
	t4 := func(dir int, peer string, port layers.TCPPort) []byte {
		return build(t, l2(dir, etherIPv4), ip4(dir, peer, protoTCP), tcp(dir, 40000, port), blob(40))
	}
	u6 := func(dir int, peer string, port layers.UDPPort) []byte {
		return build(t, l2(dir, etherIPv6), ip6(dir, peer, protoUDP), udp(dir, 40000, port), blob(40))
	}
	t6 := func(dir int, peer string, port layers.TCPPort) []byte {
		return build(t, l2(dir, etherIPv6), ip6(dir, peer, protoTCP), tcp(dir, 40000, port), blob(40))
	}
	swapped := build(t, l2(bpf.Upload, etherIPv4), ip4(bpf.Upload, router4, protoUDP), udp(bpf.Upload, 53, 40000), blob(40))
	return []frameCase{
		{"DNS query", bpf.Upload, u4(bpf.Upload, router4, 53), preauth, local, 0},
		{"DNS answer", bpf.Download, u4(bpf.Download, router4, 53), preauth, local, 0},
		{"DNS query over TCP", bpf.Upload, t4(bpf.Upload, router4, 53), preauth, local, 0},
		{"DNS query over IPv6", bpf.Upload, u6(bpf.Upload, routerLL, 53), preauth, local, 0},
		{"DNS answer over TCP and IPv6", bpf.Download, t6(bpf.Download, router6, 53), preauth, local, 0},
		{"DNS to another resolver", bpf.Upload, u4(bpf.Upload, "8.8.8.8", 53), noRule, forwarded, 68},
		{"DNS from another resolver", bpf.Download, u6(bpf.Download, server6, 53), noRule, forwarded, 88},
		{"from port 53 to the router", bpf.Upload, swapped, noRule, local, 0},

		{"portal of the router", bpf.Upload, t4(bpf.Upload, router4, 8080), preauth, local, 0},
		{"portal of the router over IPv6", bpf.Upload, t6(bpf.Upload, router6, 8080), preauth, local, 0},
		{"portal of the router answers", bpf.Download, t4(bpf.Download, router4, 8080), preauth, local, 0},
		{"portal's port over UDP", bpf.Upload, u4(bpf.Upload, router4, 8080), noRule, local, 0},
		{"portal's port elsewhere", bpf.Upload, t4(bpf.Upload, server4, 8080), noRule, forwarded, 80},
		{"portal elsewhere", bpf.Upload, t4(bpf.Upload, portal4, 443), preauth, forwarded, 80},
		{"portal elsewhere answers", bpf.Download, t4(bpf.Download, portal4, 443), preauth, forwarded, 80},
		{"portal elsewhere, other port", bpf.Upload, t4(bpf.Upload, portal4, 80), noRule, forwarded, 80},
		{"portal elsewhere over IPv6", bpf.Upload, u6(bpf.Upload, portal6, 443), preauth, forwarded, 88},
		{"portal elsewhere over IPv6, other protocol", bpf.Upload, t6(bpf.Upload, portal6, 443), noRule, forwarded, 100},
		{"router's other ports", bpf.Upload, t4(bpf.Upload, router4, 22), noRule, local, 0},
		{"router's other ports answer", bpf.Download, t4(bpf.Download, router4, 22), noRule, local, 0},

		{"walled garden", bpf.Upload, t4(bpf.Upload, garden4, 443), preauth, forwarded, 80},
		{"walled garden answers", bpf.Download, u4(bpf.Download, garden4, 443), preauth, forwarded, 68},
		{"walled garden over IPv6", bpf.Upload, t6(bpf.Upload, garden6, 443), preauth, forwarded, 100},
		{"walled garden over IPv6 answers", bpf.Download, t6(bpf.Download, garden6, 443), preauth, forwarded, 100},
		{"beside the walled garden", bpf.Upload, t4(bpf.Upload, "192.0.3.1", 443), noRule, forwarded, 80},
		{"beside the walled garden over IPv6", bpf.Upload, t6(bpf.Upload, "2001:db8:caff::1", 443), noRule, forwarded, 100},

		{"internet", bpf.Upload, t4(bpf.Upload, server4, 443), noRule, forwarded, 80},
		{"internet answers", bpf.Download, t4(bpf.Download, server4, 443), noRule, forwarded, 80},
		{"internet over IPv6", bpf.Upload, u6(bpf.Upload, server6, 443), noRule, forwarded, 88},
		{"internet over IPv6 answers", bpf.Download, t6(bpf.Download, server6, 443), noRule, forwarded, 100},
		{"packet too short for ports", bpf.Upload, build(t, l2(bpf.Upload, etherIPv4), ip4(bpf.Upload, router4, protoUDP), gopacket.Payload{0x9c, 0x40})[:36], noRule, local, 0},
	}
}

// TestUnknownVerdict: a rule that says nothing lets nothing through.
func TestUnknownVerdict(t *testing.T) {
	b := newTestbed(t, false)
	b.grant(clientMAC, dataplane.Rule{Verdict: dataplane.Allow, Account: 7, LimitBytes: dataplane.NoLimit})
	b.setRule(clientMAC, bpf.HotspotRule{Account: 7, AccountIndex: b.counter(7), LimitBytes: dataplane.NoLimit, DeadlineNs: dataplane.NoLimit})
	if got := b.run(bpf.Upload, udp4(t, bpf.Upload, 100), 0); got.Reason != noRule {
		t.Errorf("%s, want %s", bpf.ReasonLabels[got.Reason], bpf.ReasonLabels[noRule])
	}
}

// TestOtherClients: a rule is of one MAC.
func TestOtherClients(t *testing.T) {
	b := newTestbed(t, false)
	b.grant(neighborMAC, dataplane.Rule{Verdict: dataplane.Allow, Account: 7, LimitBytes: dataplane.NoLimit, Deadline: kernel.BootNow().Add(time.Hour)})
	for dir := range bpf.Directions {
		if got := b.run(dir, udp4(t, dir, 100), 0); got.Reason != noRule {
			t.Errorf("%s: %s, want %s", bpf.DirectionLabels[dir], bpf.ReasonLabels[got.Reason], bpf.ReasonLabels[noRule])
		}
	}
}
