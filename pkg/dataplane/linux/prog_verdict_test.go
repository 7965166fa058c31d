// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
)

// Short names for the tables.
const (
	forwarded = hotspotReasonPASS_FORWARDED
	local     = hotspotReasonPASS_LOCAL
	preauth   = hotspotReasonPASS_PREAUTH
	bridged   = hotspotReasonPASS_BRIDGED
	noRule    = hotspotReasonDROP_NO_RULE
	blocked   = hotspotReasonDROP_BLOCKED
	rateDrop  = hotspotReasonDROP_RATE
	busyDrop  = hotspotReasonDROP_BUSY
	limitDrop = hotspotReasonDROP_LIMIT
	lateDrop  = hotspotReasonDROP_DEADLINE
	malformed = hotspotReasonDROP_MALFORMED
	dnsDrop   = hotspotReasonDROP_PREAUTH_RATE
	noAccount = hotspotReasonDROP_NO_ACCOUNT
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
	unpaid hotspotReason
	paid   hotspotReason
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
		"malformed": malformedCases(t),
	}
	b := newTestbed(t, false)
	for name, cases := range tables {
		for _, c := range cases {
			t.Run(name+"/"+c.name, func(t *testing.T) { testFrame(t, b.clean(t), c) })
		}
	}
}

func testFrame(t *testing.T, b *testbed, c frameCase) {
	check := func(state string, want hotspotReason) outcome {
		t.Helper()
		got := b.run(c.dir, c.frame, 0)
		if got.Reason != want {
			t.Errorf("%s: %s, want %s", state, reasonLabels[got.Reason], reasonLabels[want])
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
		t.Errorf("%s, but %d bytes spent", reasonLabels[c.paid], counted.Spent())
	}

	b.grant(clientMAC, dataplane.Rule{Verdict: dataplane.Allow, Account: 8, LimitBytes: dataplane.NoLimit, Deadline: 1})
	check("after the deadline", afterEnd(c, lateDrop))
	b.grant(clientMAC, dataplane.Rule{Verdict: dataplane.Allow, Account: 9, LimitBytes: 0})
	check("after the limit", afterEnd(c, limitDrop))
	b.setRule(clientMAC, hotspotRule{Verdict: uint32(dataplane.Allow), Account: 99, AccountIndex: noIndex})
	check("without its account", afterEnd(c, noAccount))

	b.grant(clientMAC, dataplane.Rule{Verdict: dataplane.Block})
	check("blocked", whenBlocked(c))
}

// afterEnd: who has spent all may do what the unpaid may.
func afterEnd(c frameCase, ended hotspotReason) hotspotReason {
	if c.unpaid == noRule && c.paid != noRule {
		return ended
	}
	return c.unpaid
}

// whenBlocked: all is dropped that is of this client alone.
func whenBlocked(c frameCase) hotspotReason {
	isGroup := c.dir == download && c.frame[0]&1 != 0
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
	short := build(t, l2(upload, etherARP), arp(layers.ARPRequest))[:14+27]
	return []frameCase{
		{"ARP request to all", upload, build(t, ether(clientMAC, broadcastMAC, etherARP), arp(layers.ARPRequest)), preauth, local, 0},
		{"ARP request to the router", upload, build(t, l2(upload, etherARP), arp(layers.ARPRequest)), preauth, local, 0},
		{"ARP reply from a client", upload, build(t, l2(upload, etherARP), arp(layers.ARPReply)), preauth, local, 0},
		{"ARP reply from the router", download, build(t, l2(download, etherARP), arp(layers.ARPReply)), preauth, local, 0},
		{"reverse ARP", upload, build(t, l2(upload, etherARP), arp(3)), noRule, local, 0},
		{"ARP of other hardware", upload, build(t, l2(upload, etherARP), odd), noRule, local, 0},
		{"ARP of another protocol", upload, build(t, l2(upload, etherARP), foreign), noRule, local, 0},
		{"ARP cut short", upload, short, noRule, local, 0},
		{"ARP in a VLAN", upload, build(t, l2(upload, etherVLAN), tag(5, etherARP), arp(layers.ARPRequest)), noRule, local, 0},
		{"EAPOL from a client", upload, build(t, l2(upload, etherEAPOL), blob(46)), preauth, local, 0},
		{"EAPOL to a client", download, build(t, l2(download, etherEAPOL), blob(46)), preauth, local, 0},
		{"EAPOL in a VLAN", upload, build(t, l2(upload, etherVLAN), tag(5, etherEAPOL), blob(46)), noRule, local, 0},
	}
}

func configureCases(t *testing.T) []frameCase {
	solicit, toAll := "ff02::1:ff00:1", ether(clientMAC, dataplane.MAC{0x33, 0x33, 0xff, 0, 0, 1}, etherIPv6)
	up, down := l2(upload, etherIPv6), l2(download, etherIPv6)
	near := nd(upload, solicit, 135)
	near[0].(*layers.IPv6).HopLimit = 64
	with := func(first layer, rest []layer) []byte { return build(t, append([]layer{first}, rest...)...) }
	dhcp := func(dir int, l2 layer, peer string, client, server layers.UDPPort) []byte {
		return build(t, l2, ip4(dir, peer, protoUDP), udp(dir, client, server), blob(300))
	}
	dhcp6 := func(dir int, l2 layer, peer string, client, server layers.UDPPort) []byte {
		return build(t, l2, ip6(dir, peer, protoUDP), udp(dir, client, server), blob(100))
	}
	all4, all6 := ether(clientMAC, broadcastMAC, etherIPv4), ether(clientMAC, multicastMAC, etherIPv6)
	up4, down4 := l2(upload, etherIPv4), l2(download, etherIPv4)
	return []frameCase{
		{"router solicitation", upload, with(toAll, nd(upload, "ff02::2", 133)), preauth, local, 0},
		{"router advertisement by a client", upload, with(toAll, nd(upload, "ff02::1", 134)), noRule, local, 0},
		{"neighbour solicitation", upload, with(toAll, nd(upload, solicit, 135)), preauth, local, 0},
		{"neighbour solicitation to the router", upload, with(up, nd(upload, routerLL, 135)), preauth, local, 0},
		{"neighbour solicitation past the router", upload, with(up, nd(upload, server6, 135)), noRule, forwarded, 64},
		{"neighbour solicitation forwarded", upload, with(toAll, near), noRule, local, 0},
		{"neighbour advertisement", upload, with(up, nd(upload, router6, 136)), preauth, local, 0},
		{"redirect by a client", upload, with(up, nd(upload, routerLL, 137)), noRule, local, 0},
		{"echo request to the router", upload, with(up, nd(upload, routerLL, 128)), noRule, local, 0},
		{"router advertisement", download, with(down, nd(download, routerLL, 134)), preauth, local, 0},
		{"neighbour solicitation of the router", download, with(down, nd(download, routerLL, 135)), preauth, local, 0},
		{"neighbour advertisement of the router", download, with(down, nd(download, router6, 136)), preauth, local, 0},
		{"redirect of the router", download, with(down, nd(download, routerLL, 137)), preauth, local, 0},
		{"router solicitation to a client", download, with(down, nd(download, server6, 133)), noRule, forwarded, 64},

		{"DHCP discover", upload, dhcp(upload, all4, "255.255.255.255", 68, 67), preauth, local, 0},
		{"DHCP renewal", upload, dhcp(upload, up4, router4, 68, 67), preauth, local, 0},
		{"DHCP from another port", upload, dhcp(upload, all4, "255.255.255.255", 69, 67), noRule, local, 0},
		{"DHCP to a server elsewhere", upload, dhcp(upload, up4, server4, 68, 67), noRule, forwarded, 328},
		{"DHCP offer by a client", upload, dhcp(upload, all4, "255.255.255.255", 67, 68), noRule, local, 0},
		{"DHCP offer", download, dhcp(download, down4, router4, 68, 67), preauth, local, 0},
		{"DHCP offer from elsewhere", download, dhcp(download, down4, server4, 68, 67), noRule, forwarded, 328},
		{"DHCP offer from everywhere", download, dhcp(download, down4, "255.255.255.255", 68, 67), noRule, forwarded, 328},
		{"DHCPv6 solicit", upload, dhcp6(upload, all6, "ff02::1:2", 546, 547), preauth, local, 0},
		{"DHCPv6 to another group", upload, dhcp6(upload, all6, "ff05::1:3", 546, 547), noRule, local, 0},
		{"DHCPv6 to the router", upload, dhcp6(upload, up, routerLL, 546, 547), preauth, local, 0},
		{"DHCPv6 to a server elsewhere", upload, dhcp6(upload, up, server6, 546, 547), noRule, forwarded, 148},
		{"DHCPv6 reply", download, dhcp6(download, down, routerLL, 546, 547), preauth, local, 0},
		{"DHCPv6 reply from elsewhere", download, dhcp6(download, down, server6, 546, 547), noRule, forwarded, 148},
		{"DHCPv6 ports over IPv4", upload, dhcp(upload, up4, router4, 546, 547), noRule, local, 0},
		{"DHCPv4 ports over IPv6", upload, dhcp6(upload, up, router6, 68, 67), noRule, local, 0},
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
	swapped := build(t, l2(upload, etherIPv4), ip4(upload, router4, protoUDP), udp(upload, 53, 40000), blob(40))
	return []frameCase{
		{"DNS query", upload, u4(upload, router4, 53), preauth, local, 0},
		{"DNS answer", download, u4(download, router4, 53), preauth, local, 0},
		{"DNS query over TCP", upload, t4(upload, router4, 53), preauth, local, 0},
		{"DNS query over IPv6", upload, u6(upload, routerLL, 53), preauth, local, 0},
		{"DNS answer over TCP and IPv6", download, t6(download, router6, 53), preauth, local, 0},
		{"DNS to another resolver", upload, u4(upload, "8.8.8.8", 53), noRule, forwarded, 68},
		{"DNS from another resolver", download, u6(download, server6, 53), noRule, forwarded, 88},
		{"from port 53 to the router", upload, swapped, noRule, local, 0},

		{"portal of the router", upload, t4(upload, router4, 8080), preauth, local, 0},
		{"portal of the router over IPv6", upload, t6(upload, router6, 8080), preauth, local, 0},
		{"portal of the router answers", download, t4(download, router4, 8080), preauth, local, 0},
		{"portal's port over UDP", upload, u4(upload, router4, 8080), noRule, local, 0},
		{"portal's port elsewhere", upload, t4(upload, server4, 8080), noRule, forwarded, 80},
		{"portal elsewhere", upload, t4(upload, portal4, 443), preauth, forwarded, 80},
		{"portal elsewhere answers", download, t4(download, portal4, 443), preauth, forwarded, 80},
		{"portal elsewhere, other port", upload, t4(upload, portal4, 80), noRule, forwarded, 80},
		{"portal elsewhere over IPv6", upload, u6(upload, portal6, 443), preauth, forwarded, 88},
		{"portal elsewhere over IPv6, other protocol", upload, t6(upload, portal6, 443), noRule, forwarded, 100},
		{"router's other ports", upload, t4(upload, router4, 22), noRule, local, 0},
		{"router's other ports answer", download, t4(download, router4, 22), noRule, local, 0},

		{"walled garden", upload, t4(upload, garden4, 443), preauth, forwarded, 80},
		{"walled garden answers", download, u4(download, garden4, 443), preauth, forwarded, 68},
		{"walled garden over IPv6", upload, t6(upload, garden6, 443), preauth, forwarded, 100},
		{"walled garden over IPv6 answers", download, t6(download, garden6, 443), preauth, forwarded, 100},
		{"beside the walled garden", upload, t4(upload, "192.0.3.1", 443), noRule, forwarded, 80},
		{"beside the walled garden over IPv6", upload, t6(upload, "2001:db8:caff::1", 443), noRule, forwarded, 100},

		{"internet", upload, t4(upload, server4, 443), noRule, forwarded, 80},
		{"internet answers", download, t4(download, server4, 443), noRule, forwarded, 80},
		{"internet over IPv6", upload, u6(upload, server6, 443), noRule, forwarded, 88},
		{"internet over IPv6 answers", download, t6(download, server6, 443), noRule, forwarded, 100},
		{"packet too short for ports", upload, build(t, l2(upload, etherIPv4), ip4(upload, router4, protoUDP), gopacket.Payload{0x9c, 0x40})[:36], noRule, local, 0},
	}
}

// TestReasonOrder holds what run relies on: the first four reasons pass.
func TestReasonOrder(t *testing.T) {
	if bridged != 3 || noRule != 4 {
		t.Fatal("the reasons that pass are not the first four")
	}
}

// TestUnknownVerdict: a rule that says nothing lets nothing through.
func TestUnknownVerdict(t *testing.T) {
	b := newTestbed(t, false)
	b.grant(clientMAC, dataplane.Rule{Verdict: dataplane.Allow, Account: 7, LimitBytes: dataplane.NoLimit})
	b.setRule(clientMAC, hotspotRule{Account: 7, AccountIndex: b.counter(7), LimitBytes: dataplane.NoLimit, DeadlineNs: dataplane.NoLimit})
	if got := b.run(upload, udp4(t, upload, 100), 0); got.Reason != noRule {
		t.Errorf("%s, want %s", reasonLabels[got.Reason], reasonLabels[noRule])
	}
}

// TestOtherClients: a rule is of one MAC.
func TestOtherClients(t *testing.T) {
	b := newTestbed(t, false)
	b.grant(neighborMAC, dataplane.Rule{Verdict: dataplane.Allow, Account: 7, LimitBytes: dataplane.NoLimit, Deadline: BootNow().Add(time.Hour)})
	for dir := range directions {
		if got := b.run(dir, udp4(t, dir, 100), 0); got.Reason != noRule {
			t.Errorf("%s: %s, want %s", directionLabels[dir], reasonLabels[got.Reason], reasonLabels[noRule])
		}
	}
}
