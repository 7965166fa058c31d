// SPDX-License-Identifier: Apache-2.0

package nft

import (
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/hotspot-agent/hotspot-agent/internal/lab"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/links"
)

// box is a network namespace whose firewall a test sets.
type box struct {
	*testing.T
	host *lab.Host
	ns   *links.NetNS
}

func newBox(t *testing.T) *box {
	t.Helper()
	if os.Geteuid() != 0 {
		if os.Getenv("HOTSPOT_REQUIRE_KERNEL") != "" {
			t.Fatal("needs root")
		}
		t.Skip("needs root")
	}
	l, err := lab.New("hs-nft")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	host, err := l.AddHost("router")
	if err != nil {
		t.Fatal(err)
	}
	ns, err := links.OpenNetNS(host.NetNS())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ns.Close)
	return &box{t, host, ns}
}

func (b *box) set(rules string) {
	b.Helper()
	cmd := b.host.Command("nft", "-f", "-")
	cmd.Stdin = strings.NewReader("flush ruleset\n" + strings.ReplaceAll(rules, "} }", "}\n}") + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("%v: %s\n%s", err, out, rules)
	}
}

func (b *box) read() *Ruleset {
	b.Helper()
	r, err := Read(b.ns)
	if err != nil {
		b.Fatal(err)
	}
	return r
}

// The kind: the firewall drops what customers pay for. It is said for certain only: rules
// that depend on more than interfaces and connection may let the packets pass.
func TestDrops(t *testing.T) {
	b := newBox(t)
	chain := func(body string) string {
		return "table inet fw {\n set lans { type ifname; elements = { br-lan, lan9 }; }\n chain accept_lan { accept; }\n chain reject_all { reject; }\n" +
			" chain forward { type filter hook forward priority 0; " + body + " }\n}"
	}
	const drop, there, back, both = "policy drop; ", 1, 2, 3
	for name, c := range map[string]struct {
		rules string
		drops int // 1: from br-lan to wan, 2: back
	}{
		"no table":                        {"", 0},
		"policy accept":                   {chain(""), 0},
		"policy drop":                     {chain(drop), both},
		"another table drops":             {"table ip a { chain f { type filter hook forward priority 0; policy drop; } }\n" + chain(""), both},
		"only IPv6 is dropped":            {"table ip6 a { chain f { type filter hook forward priority 0; policy drop; } }", 0},
		"other hooks":                     {"table ip a { chain f { type filter hook input priority 0; policy drop; } }", 0},
		"switched off":                    {"table ip a { flags dormant; chain f { type filter hook forward priority 0; policy drop; } }", 0},
		"Docker's":                        {chain(drop + `iifname "docker0" accept; oifname "docker0" accept;`), both},
		"the interface is accepted":       {chain(drop + `iifname "br-lan" accept; oifname "br-lan" accept;`), 0},
		"one way only":                    {chain(drop + `iifname "br-lan" accept;`), back},
		"and answers":                     {chain(drop + `ct state established,related accept; iifname "br-lan" oifname "wan" accept;`), 0},
		"and answers, by a map":           {chain(drop + `ct state vmap { established : accept, related : accept, invalid : drop }; iifname "br-lan" accept;`), 0},
		"answers only":                    {chain(drop + `ct state established,related accept;`), there},
		"answers only, by a map":          {chain(drop + `ct state vmap { established : accept, related : accept, invalid : drop };`), there},
		"answers only, by a set":          {chain(drop + `ct state { established, related } accept;`), there},
		"translated destinations only":    {chain(drop + `ct status dnat accept;`), both},
		"to another interface":            {chain(drop + `iifname "br-lan" oifname "tun0" accept;`), both},
		"any but another interface":       {chain(drop + `iifname != "docker0" accept;`), 0},
		"any but this":                    {chain(drop + `iifname != "br-lan" accept;`), there},
		"a prefix of the name":            {chain(drop + `iifname "br-*" accept; oifname "br-*" accept;`), 0},
		"a set of names":                  {chain(drop + `iifname @lans accept; oifname @lans accept;`), 0},
		"a set without it":                {chain(drop + `iifname { "a", "b" } accept; oifname { "a", "b" } accept;`), both},
		"not in a set":                    {chain(drop + `iifname != @lans accept;`), there},
		"a map of chains":                 {chain(drop + `iifname vmap { "br-lan" : jump accept_lan, "wan" : goto reject_all };`), back},
		"jump":                            {chain(drop + `iifname "br-lan" jump accept_lan; ct state established accept;`), 0},
		"rejected before it is accepted":  {chain(`iifname "br-lan" jump reject_all; accept;`), there},
		"rejected, perhaps":               {chain(`ip daddr 10.0.0.0/8 reject;`), 0},
		"dropped at a rate":               {chain(`limit rate 10/second drop;`), 0},
		"accepted for an address, or not": {chain(drop + `ip saddr 10.0.0.0/8 accept; ct state established accept;`), 0},
		"accepted by mark, or not":        {chain(drop + `meta mark 7 accept;`), 0},
		"IPv4 alone":                      {chain(drop + `meta nfproto ipv4 accept;`), 0},
		"IPv6 alone":                      {chain(drop + `meta nfproto ipv6 accept;`), both},
		"comments and counters":           {chain(drop + `counter accept comment "all";`), 0},
		"a rule drops":                    {chain(`iifname "br-lan" counter drop;`), there},
		"returned before the drop":        {chain(`iifname "br-lan" return; iifname "wan" return; drop;`), 0},
	} {
		b.set(c.rules)
		r, got := b.read(), 0
		for bit, p := range map[int]Packet{
			there: {Family: FamilyIPv4, In: "br-lan", Out: "wan"},
			back:  {Family: FamilyIPv4, In: "wan", Out: "br-lan", Reply: true},
		} {
			by, err := r.Drops(p)
			if err != nil {
				t.Fatal(err)
			}
			if by != "" {
				got |= bit
			}
		}
		if got != c.drops {
			t.Errorf("%s: drops %d, want %d", name, got, c.drops)
		}
	}
	b.set(chain(drop))
	if by, _ := b.read().Drops(Packet{Family: FamilyIPv4}); by != "inet fw forward" {
		t.Errorf("dropped by %q", by)
	}
}

func TestGeneration(t *testing.T) {
	b := newBox(t)
	before, err := Generation(b.ns)
	if err != nil {
		t.Fatal(err)
	}
	b.set("table ip a { }")
	after, err := Generation(b.ns)
	if err != nil || after == before || after == 0 {
		t.Errorf("%d, then %d, %v", before, after, err)
	}
}

func TestTranslates(t *testing.T) {
	b := newBox(t)
	nat := func(hook, rule string) string {
		return "table ip nat { chain c { type nat hook " + hook + " priority 0; " + rule + "; } }"
	}
	for rules, want := range map[string][2]bool{
		"":                                      {false, false},
		nat("postrouting", "masquerade"):        {true, false},
		nat("postrouting", "snat to 192.0.2.1"): {true, false},
		nat("prerouting", "tcp dport 80 dnat to 10.0.0.2"):  {false, true},
		nat("prerouting", "tcp dport 80 redirect to :2050"): {false, true},
	} {
		b.set(rules)
		if s, d := b.read().Translates(FamilyIPv4); s != want[0] || d != want[1] {
			t.Errorf("%q: %v, %v", rules, s, d)
		}
		if s, d := b.read().Translates(FamilyIPv6); s || d {
			t.Errorf("%q: of IPv6 %v, %v", rules, s, d)
		}
	}
}

// What xtables asks of a connection: struct xt_conntrack_mtinfo3, its masks at the end.
func TestConnectionOfXtables(t *testing.T) {
	info := func(flags, inverts, states byte) []byte {
		b := make([]byte, 164)
		b[146], b[148], b[150] = flags, inverts, states // little-endian here, as on all that run tests
		return b
	}
	for _, c := range []struct {
		name    string
		info    []byte
		fresh   match
		answers match
	}{
		{"conntrack", info(1, 0, stateEstablished|4), no, yes},
		{"conntrack", info(1, 1, stateEstablished|4), yes, no},
		{"conntrack", info(1, 0, stateNew), yes, no},
		{"conntrack", info(3, 0, stateNew), maybe, no},
		{"conntrack", nil, maybe, maybe},
		{"state", []byte{stateNew, 0, 0, 0}, yes, no},
		{"comment", nil, yes, yes},
		{"addrtype", nil, maybe, maybe},
	} {
		x := expression{"match", map[uint16][]byte{1: append([]byte(c.name), 0), 3: c.info}}
		fresh, answer := evaluation{}, evaluation{packet: Packet{Reply: true}}
		if f, a := fresh.extension(x), answer.extension(x); f != c.fresh || a != c.answers {
			t.Errorf("%s %v: %d and %d", c.name, c.info, f, a)
		}
	}
}

// The targets of xtables, in the layouts of linux/netfilter/nf_nat.h.
func TestTargetsOfXtables(t *testing.T) {
	tcp := expression{"match", map[uint16][]byte{1: []byte("tcp\x00"), 3: {0, 0, 0xff, 0xff, 80, 0, 80, 0}}}
	to := func(name string, revision byte, info []byte) rule {
		return rule{tcp, {"target", map[uint16][]byte{1: append([]byte(name), 0), 2: {0, 0, 0, revision}, 3: info}}}
	}
	old := make([]byte, 20)
	copy(old, []byte{1, 0, 0, 0, 3, 0, 0, 0, 172, 17, 0, 2, 172, 17, 0, 2, 0x1f, 0x90, 0x1f, 0x90})
	recent := make([]byte, 44)
	copy(recent, []byte{3, 0, 0, 0, 172, 17, 0, 2})
	copy(recent[36:], []byte{0x1f, 0x90})
	container := netip.MustParseAddr("172.17.0.2")
	for name, c := range map[string]struct {
		rule rule
		want Target
		is   bool
	}{
		"DNAT of revision 0": {to("DNAT", 0, old), Target{container, 8080, 80, 6}, true},
		"DNAT of revision 2": {to("DNAT", 2, recent), Target{container, 8080, 80, 6}, true},
		"REDIRECT":           {to("REDIRECT", 0, old), Target{Port: 8080, Matched: 80, Protocol: 6}, true},
		"cut short":          {to("DNAT", 2, recent[:20]), Target{Matched: 80, Protocol: 6}, false},
		"another":            {to("MARK", 0, old), Target{Matched: 80, Protocol: 6}, false},
	} {
		if got, is := c.rule.target(); got != c.want || is != c.is {
			t.Errorf("%s: %+v, %v", name, got, is)
		}
	}
}
