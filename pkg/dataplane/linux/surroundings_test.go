// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/bpf"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/forwarding"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/links"
)

// problem reports whether there is one of a code about an interface, and returns its detail.
func (d *Dataplane) problem(code dataplane.ProblemCode, ifname string) (detail string, is bool) {
	list := d.Status().Problems
	at := slices.IndexFunc(list, func(p dataplane.Problem) bool {
		return p.Code == code && p.Interface == ifname && p.Exposed == (code != dataplane.BridgeNetfilter)
	})
	if at < 0 {
		return "", false
	}
	return list[at].Detail, true
}

// begins and ends wait for a problem and its end.
func (d *Dataplane) begins(t *testing.T, code dataplane.ProblemCode, ifname, says string) {
	t.Helper()
	within(t, seen, string(code)+" of "+ifname, func() bool {
		detail, is := d.problem(code, ifname)
		return is && strings.Contains(detail, says)
	})
}

func (d *Dataplane) ends(t *testing.T, code dataplane.ProblemCode, ifname string) {
	t.Helper()
	within(t, seen, "the end of "+string(code)+" of "+ifname, func() bool {
		_, is := d.problem(code, ifname)
		return !is
	})
}

// The kind: customers pay for nothing, as the kernel forwards nothing, on the clients' side
// or the uplink's; whenever that begins, it is a problem until it ends.
func TestForwardingOff(t *testing.T) {
	b := newBox(t)
	b.veth("lan")
	b.veth("wan")
	b.addr("lan", "10.77.0.1/24")
	b.addr("wan", "192.0.2.2/24")
	check(t, b.Sysctl("net/ipv4/ip_forward=0"))
	d := b.open(b.options("lan"))
	if detail, is := d.problem(dataplane.ForwardingOff, "lan"); !is || !strings.Contains(detail, "sysctl -w net.ipv4.ip_forward=1") {
		t.Errorf("at the start: %+v", d.Status().Problems)
	}
	check(t, b.Sysctl("net/ipv4/ip_forward=1"))
	d.ends(t, dataplane.ForwardingOff, "lan")
	if s := d.Status(); !s.Healthy {
		t.Errorf("a router that forwards: %+v", s.Problems)
	}
	check(t, b.Netlink().RouteAdd(&netlink.Route{LinkIndex: b.link("wan").Attrs().Index, Gw: []byte{192, 0, 2, 1}}))
	check(t, b.Sysctl("net/ipv4/conf/wan/forwarding=0"))
	d.begins(t, dataplane.ForwardingOff, "wan", "IPv4")
	check(t, b.Sysctl("net/ipv4/conf/wan/forwarding=1"))
	d.ends(t, dataplane.ForwardingOff, "wan")
	// No address of the router's, as on a bridge that only switches: nothing is routed.
	check(t, b.Sysctl("net/ipv4/conf/lan/forwarding=0"))
	d.begins(t, dataplane.ForwardingOff, "lan", "IPv4")
	check(t, b.Netlink().AddrDel(b.link("lan"), b.addrOf("lan")))
	d.ends(t, dataplane.ForwardingOff, "lan")
}

func (b *box) addrOf(ifname string) *netlink.Addr {
	b.t.Helper()
	list, err := b.Netlink().AddrList(b.link(ifname), unix.AF_INET)
	check(b.t, err)
	return &list[0]
}

// The kind: a frame passes the egress hook twice, as a shaper sends it through an IFB.
func TestRedirectedEgress(t *testing.T) {
	b := newBox(t)
	b.veth("lan")
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "ifb9"
	check(t, b.Netlink().LinkAdd(&netlink.Ifb{LinkAttrs: attrs}))
	check(t, b.Netlink().LinkSetUp(b.link("ifb9")))
	d := b.open(b.options("lan"))
	if s := d.Status(); !s.Healthy {
		t.Errorf("an IFB that nothing leads to: %+v", s.Problems)
	}
	root := netlink.MakeHandle(1, 0)
	htb := netlink.NewHtb(netlink.QdiscAttrs{LinkIndex: b.link("lan").Attrs().Index, Parent: netlink.HANDLE_ROOT, Handle: root})
	check(t, b.Netlink().QdiscAdd(htb))
	redirect := netlink.NewMirredAction(b.link("ifb9").Attrs().Index)
	check(t, b.Netlink().FilterAdd(&netlink.U32{
		FilterAttrs: netlink.FilterAttrs{LinkIndex: b.link("lan").Attrs().Index, Parent: root, Priority: 1, Protocol: unix.ETH_P_ALL},
		ClassId:     netlink.MakeHandle(1, 1),
		Actions:     []netlink.Action{redirect},
	}))
	d.begins(t, dataplane.Redirected, "lan", "ifb9")
	check(t, b.Netlink().QdiscDel(htb))
	d.ends(t, dataplane.Redirected, "lan")
}

// firewall replaces the rules of the namespace.
func (b *box) firewall(rules string) {
	b.t.Helper()
	cmd := b.Command("nft", "-f", "-")
	cmd.Stdin = strings.NewReader("flush ruleset\n" + rules + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		b.t.Fatalf("%v: %s", err, out)
	}
}

// The kind: the firewall drops what customers pay for. Docker does so when it starts, long
// after the agent did.
func TestForwardDropped(t *testing.T) {
	b := newBox(t)
	b.veth("lan")
	b.veth("wan")
	b.addr("lan", "10.77.0.1/24")
	b.addr("wan", "192.0.2.2/24")
	check(t, b.Sysctl("net/ipv4/ip_forward=1"))
	check(t, b.Netlink().RouteAdd(&netlink.Route{LinkIndex: b.link("wan").Attrs().Index, Gw: []byte{192, 0, 2, 1}}))
	d := b.open(b.options("lan"))
	if s := d.Status(); !s.Healthy {
		t.Errorf("no firewall: %+v", s.Problems)
	}
	const docker = "table ip filter {\n chain FORWARD { type filter hook forward priority 0; policy drop; iifname \"docker0\" accept; oifname \"docker0\" accept; }\n}"
	b.firewall(docker)
	d.begins(t, dataplane.ForwardDropped, "lan", "ip filter FORWARD")
	detail, _ := d.problem(dataplane.ForwardDropped, "lan")
	parts := strings.Split(detail, "; ")
	for _, command := range parts[1:3] { // as the advice has it
		check(t, b.Command("nft", strings.TrimPrefix(command, "nft ")).Run())
	}
	d.ends(t, dataplane.ForwardDropped, "lan")
	b.firewall(docker)
	d.begins(t, dataplane.ForwardDropped, "lan", "lan and wan")
	b.firewall("")
	d.ends(t, dataplane.ForwardDropped, "lan")
}

// The kind: the firewall sees, and translates, frames of a bridge before its hook does.
func TestBridgeNetfilter(t *testing.T) {
	b := newBox(t)
	b.bridge("br-lan", "lan1")
	if err := b.Sysctl("net/bridge/bridge-nf-call-iptables=1"); err != nil {
		t.Skipf("no br_netfilter: %v", err)
	}
	check(t, b.Sysctl("net/bridge/bridge-nf-call-ip6tables=0"))
	d := b.open(b.options("br-lan"))
	if s := d.Status(); !s.Healthy {
		t.Errorf("nothing is translated: %+v", s.Problems)
	}
	published := "table ip nat {\n chain pre { type nat hook prerouting priority -100; tcp dport 80 dnat to 10.9.9.9:8080; }\n}"
	b.firewall(published)
	d.begins(t, dataplane.BridgeNetfilter, "br-lan", "sysctl -w net.bridge.bridge-nf-call-iptables=0, or name the ports")
	check(t, b.Sysctl("net/bridge/bridge-nf-call-iptables=0"))
	d.ends(t, dataplane.BridgeNetfilter, "br-lan")
	check(t, b.Sysctl("net/bridge/bridge-nf-call-iptables=1"))
	d.begins(t, dataplane.BridgeNetfilter, "br-lan", "")
	check(t, d.Close())
	d = b.open(b.options("lan1"))
	if s := d.Status(); !s.Healthy {
		t.Errorf("the port is named: %+v", s.Problems)
	}
}

// The kind: the hook of a bridge sees what the firewall made of a packet. A portal in a
// container, published at a port of the router, is open and free like one on the router.
func TestPortalBehindTranslation(t *testing.T) {
	b := newBox(t)
	b.bridge("br-lan", "lan1")
	b.bridge("docker0")
	b.addr("br-lan", "10.77.0.1/24")
	b.addr("docker0", "172.17.0.1/16")
	if err := b.Sysctl("net/bridge/bridge-nf-call-iptables=1"); err != nil {
		t.Skipf("no br_netfilter: %v", err)
	}
	opts := b.options("br-lan")
	opts.Portals = []dataplane.Portal{{Port: 80, Protocol: "tcp"}, {Port: 81, Protocol: "tcp"}}
	d := b.open(opts)
	open := func(addr string, port uint16) bool {
		p := dataplane.Portal{Port: port, Protocol: "tcp"}
		if addr != "" {
			p.Addr = netip.MustParseAddr(addr)
		}
		var mark uint8
		return d.maps.Portals.Lookup(bpf.PortalToWire(p), &mark) == nil
	}
	own := func(addr string) bool {
		var mark uint8
		return d.maps.RouterAddrs.Lookup(bpf.AddrToWire(netip.MustParseAddr(addr)), &mark) == nil
	}
	b.firewall("table ip nat {\n chain pre { type nat hook prerouting priority -100; " +
		"fib daddr type local tcp dport 80 dnat to 172.17.0.2:8080; tcp dport 81 redirect to :2050; " +
		"tcp dport 82 dnat to 172.17.0.3:82; tcp dport 83 dnat to 10.77.0.9:83; udp dport 80 dnat to 172.17.0.4:53; iifname wan dnat to 172.17.0.5; }\n}")
	within(t, seen, "the container is the portal", func() bool {
		return open("172.17.0.2", 8080) && open("", 2050) && own("172.17.0.2") && own("172.17.0.3")
	})
	if open("172.17.0.3", 82) || open("172.17.0.4", 53) || own("10.77.0.9") || own("172.17.0.5") {
		t.Error("what is no portal is open, a customer is the router, or a rule of another interface counts")
	}
	check(t, b.Sysctl("net/bridge/bridge-nf-call-iptables=0"))
	within(t, seen, "the hook comes first again", func() bool { return !open("172.17.0.2", 8080) && !open("", 2050) && !own("172.17.0.2") && open("", 80) })
}

// The kind: a check that is left out because nothing changed. Whatever Check reads, a change
// of it is seen at the next look, also one of too many at once; and one look sees it.
func TestChangeIsSeenByTheNextLook(t *testing.T) {
	b := newBox(t)
	b.veth("lan")
	b.veth("wan")
	b.bridge("br-lan")
	b.addr("wan", "192.0.2.2/24")
	ns, err := links.OpenNetNS(b.NetNS())
	check(t, err)
	defer ns.Close()
	changes, err := forwarding.WatchChanges(ns)
	check(t, err)
	defer changes.Close()
	route := func(last byte) *netlink.Route {
		return &netlink.Route{LinkIndex: b.link("wan").Attrs().Index, Dst: &net.IPNet{IP: net.IPv4(198, 51, 100, last), Mask: net.CIDRMask(32, 32)}}
	}
	now, other := &links.Snapshot{}, &links.Snapshot{}
	for _, c := range []struct {
		what string
		do   func() error
	}{
		{"IPv4 forwarding", func() error { return b.Sysctl("net/ipv4/ip_forward=1") }},
		{"IPv4 forwarding of an interface", func() error { return b.Sysctl("net/ipv4/conf/lan/forwarding=0") }},
		{"IPv6 forwarding", func() error { return b.Sysctl("net/ipv6/conf/all/forwarding=1") }},
		{"a route", func() error { return b.Netlink().RouteAdd(route(1)) }},
		{"more routes than the socket has room for", func() error {
			for last := range byte(200) {
				if err := b.Netlink().RouteReplace(route(last)); err != nil {
					return err
				}
			}
			return nil
		}},
		{"a rule for routes", func() error {
			rule := netlink.NewRule()
			rule.Table, rule.Priority = 100, 7
			return b.Netlink().RuleAdd(rule)
		}},
		{"a rule of the firewall", func() error {
			b.firewall("table ip filter {\n chain f { type filter hook forward priority 0; policy drop; }\n}")
			return nil
		}},
		{"a qdisc", func() error {
			return b.Netlink().QdiscAdd(netlink.NewHtb(netlink.QdiscAttrs{
				LinkIndex: b.link("lan").Attrs().Index, Parent: netlink.HANDLE_ROOT, Handle: netlink.MakeHandle(1, 0)}))
		}},
		{"a setting of br_netfilter", func() error {
			if _, err := os.Stat("/proc/sys/net/bridge"); err != nil {
				now, other = other, now // this kernel has none
				return nil              //nolint:nilerr // as said
			}
			check(t, b.Sysctl("net/bridge/bridge-nf-call-iptables=0"))
			changes.Any(now)
			return b.Sysctl("net/bridge/bridge-nf-call-iptables=1")
		}},
		{"the links", func() error { now, other = other, now; return nil }},
	} {
		within(t, atOnce, "nothing changes before "+c.what, func() bool { return !changes.Any(now) })
		check(t, c.do())
		if !changes.Any(now) {
			t.Errorf("%s: not seen", c.what)
		}
	}
}
