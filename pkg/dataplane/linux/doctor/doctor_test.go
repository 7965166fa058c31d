// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/links"
)

func TestDiagnose(t *testing.T) {
	modes(t, func(b *box) {
		t := b.t
		b.veth("lan")
		opts := b.options("lan", "absent")

		before := findings(Diagnose(opts))
		b.expect(before, "kernel", OK, "")
		b.expect(before, "jit", OK, "")
		b.expect(before, "bpffs", OK, "")
		b.expect(before, "hooks", OK, "")
		b.expect(before, "clock", OK, "")
		b.expect(before, "interface lan", OK, "veth")
		b.expect(before, "interface absent", Warn, "does not exist")
		b.expect(before, "tables", Warn, "nothing is enforced")
		b.expect(before, "programs lan", Exposed, "not attached")
		b.expect(before, "flow offload", OK, "no nft flowtable")

		d := b.open(opts)
		after := findings(Diagnose(opts))
		b.expect(after, "tables", OK, "0 clients, room for 16")
		b.expect(after, "programs lan", OK, "this version's")

		for i := range 15 {
			check(t, d.Grant(dataplane.MAC{2, 0, 0, 0, 0, byte(i)}, dataplane.Rule{Verdict: dataplane.Block}))
		}
		check(t, d.Close())

		check(t, b.Netlink().LinkDel(b.link("lan")))
		b.veth("lan")
		b.expect(findings(Diagnose(opts)), "programs lan", Exposed, "not enforced")

		check(t, b.open(opts).Close())
		b.renamePrograms()
		full := findings(Diagnose(opts))
		b.expect(full, "tables", Warn, "15 clients, room for 16")
		b.expect(full, "programs lan", Warn, "another version")
	})
}

// A program that another put before ours may let traffic by; one behind ours cannot.
func TestDiagnoseForeignProgram(t *testing.T) {
	b := newTCXBox(t)
	b.veth("lan")
	b.attachForeign("lan", ebpf.AttachTCXIngress, nil)
	d := b.open(b.options("lan"))
	defer func() { check(t, d.Close()) }()
	b.expect(findings(Diagnose(b.options("lan"))), "programs lan", OK, "this version's")
	b.attachForeign("lan", ebpf.AttachTCXEgress, link.Head())
	b.expect(findings(Diagnose(b.options("lan"))), "programs lan", Exposed, "runs before ours")
}

func TestDiagnoseInterfaces(t *testing.T) {
	b := newBox(t)
	b.veth("lan1")
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "br-lan"
	check(t, b.Netlink().LinkAdd(&netlink.Bridge{LinkAttrs: attrs}))
	check(t, b.Netlink().LinkSetMaster(b.link("lan1"), b.link("br-lan")))
	found := findings(Diagnose(b.options("br-lan", "lan1", "lo")))
	b.expect(found, "interface br-lan", Warn, "bridge of lan1")
	b.expect(found, "interface br-lan", Warn, "down")
	b.expect(found, "interface lan1", OK, "port of br-lan")
	b.expect(found, "stacking", Exposed, "lan1 carries the frames of br-lan")
	b.expect(found, "interface lo", Fail, "Ethernet")

	found = findings(Diagnose(linux.Options{Interfaces: []string{"lan"}}))
	b.expect(found, "options", Fail, "max_clients 0")
}

// What customers need beside the agent is named where nothing on the router offers it, and
// is no reason for an exit status: another machine may.
func TestDiagnoseServices(t *testing.T) {
	b := newBox(t)
	b.veth("lan")
	addr, err := netlink.ParseAddr("10.0.0.1/24")
	check(t, err)
	check(t, b.Netlink().AddrAdd(b.link("lan"), addr))
	opts := b.options("lan")
	opts.Portals = []dataplane.Portal{{Port: 80, Protocol: "tcp"}}
	found := findings(Diagnose(opts))
	b.expect(found, "DHCP", Warn, "nothing on the router listens on udp port 67")
	b.expect(found, "DNS", Warn, "udp port 53")
	b.expect(found, "portal 80", Warn, "tcp port 80")
	b.expect(found, "address translation", Warn, "masquerade")
	for _, port := range []string{":67", ":53"} {
		socket, err := b.ListenPacket(port)
		check(t, err)
		defer func() { check(t, socket.Close()) }()
	}
	portal, err := b.Listen(":80")
	check(t, err)
	defer func() { check(t, portal.Close()) }()
	found = findings(Diagnose(opts))
	b.expect(found, "DHCP", OK, "listens")
	b.expect(found, "DNS", OK, "listens")
	b.expect(found, "portal 80", OK, "listens")
}

func TestDescribeVLANFiltering(t *testing.T) {
	vlans := true
	bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Index: 1, Name: "br-lan"}, VlanFiltering: &vlans}
	v := &links.Snapshot{ByIndex: map[int]netlink.Link{1: bridge}}
	if got := describe(v, bridge); !strings.Contains(got, "VLAN filtering is on") {
		t.Error(got)
	}
}

// What an interface carries beside the customers' frames is named.
func TestDescribeOtherVLANs(t *testing.T) {
	link := func(name string, index int) netlink.LinkAttrs {
		a := netlink.NewLinkAttrs()
		a.Name, a.Index = name, index
		return a
	}
	bridge := &netlink.Bridge{LinkAttrs: link("br-lan", 1)}
	vlan := &netlink.Vlan{LinkAttrs: link("br-lan.13", 2), VlanId: 13}
	vlan.ParentIndex = 1
	v := &links.Snapshot{ByIndex: map[int]netlink.Link{1: bridge, 2: vlan}, ByName: map[string]netlink.Link{"br-lan": bridge, "br-lan.13": vlan}}
	found := checkOtherVLANs(v, []string{"br-lan"}, "br-lan")
	if len(found) != 1 || found[0].Level != OK || !strings.HasPrefix(found[0].Detail, "br-lan.13:") || found[0].Why() == "" {
		t.Errorf("%+v", found)
	}
	if found := checkOtherVLANs(v, []string{"br-lan", "br-lan.13"}, "br-lan"); len(found) != 0 {
		t.Errorf("both are named: %+v", found)
	}
	mask := uint16(0x4000)
	if found := checkGroupForwarding(bridge); len(found) != 0 {
		t.Errorf("%+v", found)
	}
	bridge.GroupFwdMask = &mask
	if found := checkGroupForwarding(bridge); len(found) != 1 || found[0].Level != Warn || found[0].Why() == "" {
		t.Errorf("%+v", found)
	}
}

func TestDiagnoseNeighbors(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		check(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	small, large, odd := file("small", "1024\n"), file("large", "8192\n"), file("odd", "many\n")
	for name, c := range map[string]struct {
		files  []string
		level  Level
		advice string
	}{
		"room for all":         {[]string{large, large}, OK, ""},
		"one is too small":     {[]string{large, small}, Warn, "gc_thresh3 of net.ipv4.neigh.default and net.ipv6.neigh.default to 16384"},
		"is not there":         {[]string{filepath.Join(dir, "none"), large}, OK, ""},
		"not to be understood": {[]string{odd}, Warn, ""},
	} {
		if f := checkNeighbors(c.files, 4096); f.Level != c.level || !strings.Contains(f.Advice, c.advice) {
			t.Errorf("%s: %+v", name, f)
		}
	}
}

// TestDiagnoseLearning: with and without a bound, by what the kernel says of a bridge.
func TestDiagnoseLearning(t *testing.T) {
	b := newBox(t)
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "br-lan"
	check(t, b.Netlink().LinkAdd(&netlink.Bridge{LinkAttrs: attrs}))
	opts := b.options("br-lan")
	var known bool
	check(t, b.Do(func() (err error) {
		_, _, known, err = bridgeLearning(b.link("br-lan").Attrs().Index)
		return err
	}))
	if !known { // Linux before 6.8
		b.expect(findings(Diagnose(opts)), "learning br-lan", OK, "cannot bound")
		return
	}
	b.expect(findings(Diagnose(opts)), "learning br-lan", Warn, "0 MACs, and as many as")
	header := nl.NewIfInfomsg(unix.AF_UNSPEC)
	header.Index = int32(b.link("br-lan").Attrs().Index)
	info := nl.NewRtAttr(unix.IFLA_LINKINFO, nil)
	info.AddRtAttr(nl.IFLA_INFO_KIND, nl.NonZeroTerminated("bridge"))
	info.AddRtAttr(nl.IFLA_INFO_DATA, nil).AddRtAttr(iflaBridgeLearnMost, nl.Uint32Attr(500))
	check(t, b.Do(func() error {
		request := nl.NewNetlinkRequest(unix.RTM_NEWLINK, unix.NLM_F_ACK)
		request.AddData(header)
		request.AddData(info)
		_, err := request.Execute(unix.NETLINK_ROUTE, 0)
		return err
	}))
	b.expect(findings(Diagnose(opts)), "learning br-lan", OK, "0 MACs of at most 500")
}

// TestDiagnoseForged: only strict filtering, of all interfaces or of the clients', is
// enough; and for a port that of its bridge.
func TestDiagnoseForged(t *testing.T) {
	b := newBox(t)
	b.veth("lan1")
	b.veth("lan.2")
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "br-lan"
	check(t, b.Netlink().LinkAdd(&netlink.Bridge{LinkAttrs: attrs}))
	check(t, b.Netlink().LinkSetMaster(b.link("lan1"), b.link("br-lan")))
	for _, c := range []struct {
		all, own int
		level    Level
		advice   string
	}{
		{0, 0, Warn, "sysctl -w net/ipv4/conf/%s/rp_filter=1"},
		{0, 1, OK, ""},
		{1, 0, OK, ""},
		{0, 2, Warn, "sysctl -w net/ipv4/conf/%s/rp_filter=1"},
		{2, 1, Warn, "net/ipv4/conf/all/rp_filter=1"},
		{1, 2, Warn, "sysctl -w net/ipv4/conf/%s/rp_filter=1"},
	} {
		for named, routes := range map[string]string{"lan1": "br-lan", "lan.2": "lan.2"} {
			check(t, b.Sysctl(fmt.Sprintf("net/ipv4/conf/all/rp_filter=%d", c.all), fmt.Sprintf("net/ipv4/conf/%s/rp_filter=%d", routes, c.own)))
			found := findings(Diagnose(b.options(named)))
			b.expect(found, "forged addresses "+routes, c.level, "rp_filter")
			if got, want := found["forged addresses "+routes].Advice, strings.ReplaceAll(c.advice, "%s", routes); !strings.Contains(got, want) {
				t.Errorf("rp_filter %d, and %d for all: advice %q, want %q", c.own, c.all, got, want)
			}
		}
	}
	if f, ok := findings(Diagnose(b.options("lan1")))["forged addresses lan1"]; ok {
		t.Errorf("of a port, which routes nothing: %+v", f)
	}
}

func TestParseLearning(t *testing.T) {
	u32 := func(n uint32) []byte { return binary.NativeEndian.AppendUint32(nil, n) }
	data := append(attribute(iflaBridgeLearned, u32(7)), attribute(iflaBridgeLearnMost, u32(100))...)
	message := append(make([]byte, unix.SizeofIfInfomsg), attribute(unix.IFLA_LINKINFO, attribute(nl.IFLA_INFO_DATA, data))...)
	learned, most, known, err := parseLearning(message)
	if err != nil || learned != 7 || most != 100 || !known {
		t.Errorf("%d of %d (%v), %v", learned, most, known, err)
	}
	for n := range len(message) {
		_, _, _, _ = parseLearning(message[:n]) // must not panic
	}
}

func findings(list []Finding) map[string]Finding {
	byCheck := make(map[string]Finding)
	for _, f := range list {
		byCheck[f.Check] = f
	}
	return byCheck
}

func (b *box) expect(found map[string]Finding, name string, level Level, words string) {
	b.t.Helper()
	f, ok := found[name]
	if !ok || f.Level != level || !strings.Contains(f.Detail, words) {
		b.t.Errorf("%s: %+v, want %s with %q", name, f, level, words)
	}
	if level == Fail && f.Advice == "" {
		b.t.Errorf("%s fails without an advice", name)
	}
}

func TestClock(t *testing.T) {
	if f := checkClock(time.Unix(1000, 0)); f.Level != Warn || !strings.Contains(f.Detail, "1970-01-01") {
		t.Errorf("a clock that was never set: %+v", f)
	}
	if f := checkClock(dataplane.EarliestClock.Add(-time.Second)); f.Level != Warn {
		t.Errorf("a clock that the rules do not believe: %+v", f)
	}
	if f := checkClock(dataplane.EarliestClock); f.Level != OK {
		t.Errorf("a clock that is set: %+v", f)
	}
}

// attribute is a netlink attribute, padded.
func attribute(kind uint16, value []byte) []byte {
	b := binary.NativeEndian.AppendUint16(nil, uint16(4+len(value)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = append(b, value...)
	return append(b, make([]byte, (4-len(b)%4)%4)...)
}

func TestParseFlowtable(t *testing.T) {
	const nested = 1 << 15
	devices := append(attribute(1, []byte("lan1\x00")), attribute(1, []byte("wan\x00"))...)
	message := bytes.Join([][]byte{
		{1, 0, 0, 0}, // nfgenmsg: inet
		attribute(nftaFlowtableTable, []byte("fw4\x00")),
		attribute(nftaFlowtableName, []byte("ft\x00")),
		attribute(nftaFlowtableHook|nested, attribute(nftaFlowtableHookDevs|nested, devices)),
		attribute(nftaFlowtableFlags, []byte{0, 0, 0, 1}),
	}, nil)
	got, err := parseFlowtable(message)
	check(t, err)
	want := flowtable{table: "fw4", name: "ft", devices: []string{"lan1", "wan"}, hardware: true}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(flowtable{})); diff != "" {
		t.Errorf("flowtable (-want +got):\n%s", diff)
	}
	for n := range len(message) {
		_, _ = parseFlowtable(message[:n]) // must not panic
	}
}

func TestFeatures(t *testing.T) {
	b := newBox(t)
	b.veth("lan")
	check(t, b.Do(func() error {
		for feature, want := range map[string]bool{"tx-tcp-segmentation": true, "hw-tc-offload": false, "no-such-feature": false} {
			if got, err := hasFeature("lan", feature); got != want || err != nil {
				t.Errorf("%s = %v, %v, want %v", feature, got, err, want)
			}
		}
		return nil
	}))
}
