// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/bpf"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/links"
)

func prefixes(list ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, p := range list {
		out = append(out, netip.MustParsePrefix(p))
	}
	return out
}

func TestRouterAddressesFollow(t *testing.T) {
	b := newBox(t)
	b.veth("lan")
	b.veth("wan")
	b.addr("lan", "10.0.0.1/24")
	d := b.open(b.options("lan"))
	has := func(ip string) func() bool {
		return func() bool {
			return setOf[bpf.HotspotAddrKey](t, d.maps.RouterAddrs)[bpf.AddrToWire(netip.MustParseAddr(ip))]
		}
	}
	if !has("10.0.0.1")() {
		t.Error("an address of before Open is missing")
	}
	v4, v6 := b.addr("wan", "192.0.2.9/24"), b.addr("lan", "2001:db8::1/64")
	within(t, atOnce, "IPv4 address of another interface", has("192.0.2.9"))
	within(t, atOnce, "IPv6 address", has("2001:db8::1"))
	check(t, b.Netlink().AddrDel(b.link("wan"), v4))
	check(t, b.Netlink().AddrDel(b.link("lan"), v6))
	within(t, atOnce, "IPv4 address gone", func() bool { return !has("192.0.2.9")() })
	within(t, atOnce, "IPv6 address gone", func() bool { return !has("2001:db8::1")() })

	addrs, err := b.Netlink().AddrList(b.link("lan"), netlink.FAMILY_V6)
	check(t, err)
	if len(addrs) != 1 || !addrs[0].IP.IsLinkLocalUnicast() || !has(addrs[0].IP.String())() {
		t.Errorf("link-local address is missing: %v", addrs)
	}
	if has("127.0.0.1")() {
		t.Error("the loopback address is in the set")
	}
}

// A burst of changes, more than a socket holds, must not lose one.
func TestRouterAddressesSurviveABurst(t *testing.T) {
	b := newBox(t)
	b.veth("lan")
	d := b.open(b.options("lan"))
	check(t, d.watch.watcher.Sock.SetReceiveBufferSize(2304, false))
	const n = 200
	for i := range n {
		b.addr("lan", fmt.Sprintf("10.1.%d.1/24", i))
	}
	within(t, atOnce, "all addresses", func() bool {
		got := setOf[bpf.HotspotAddrKey](t, d.maps.RouterAddrs)
		for i := range n {
			if !got[bpf.AddrToWire(netip.AddrFrom4([4]byte{10, 1, byte(i), 1}))] {
				return false
			}
		}
		return true
	})
}

func TestRouterMACs(t *testing.T) {
	b := newBox(t)
	b.veth("lan1")
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "br-lan"
	check(t, b.Netlink().LinkAdd(&netlink.Bridge{LinkAttrs: attrs}))
	check(t, b.Netlink().LinkSetMaster(b.link("lan1"), b.link("br-lan")))
	d := b.open(b.options("lan1"))
	want := links.UniqueMACs([]netlink.Link{b.link("lan1"), b.link("br-lan")})
	if diff := cmp.Diff(want, d.RouterMACs()); diff != "" {
		t.Errorf("router MACs (-want +got):\n%s", diff)
	}

	other := dataplane.MAC{0x02, 0xaa, 0, 0, 0, 9}
	check(t, b.Netlink().LinkSetHardwareAddr(b.link("br-lan"), other[:]))
	within(t, atOnce, "new MAC of the bridge", func() bool {
		return slices.Contains(d.RouterMACs(), other) && setOf[bpf.HotspotMacKey](t, d.maps.RouterMacs)[bpf.MACToWire(other)]
	})
}

// More interfaces than the set has room for: the client-facing ones count.
func TestRouterMACsWhenFull(t *testing.T) {
	v := &links.Snapshot{ByName: map[string]netlink.Link{}, ByIndex: map[int]netlink.Link{}}
	for i := range 200 {
		l := &netlink.Device{LinkAttrs: netlink.LinkAttrs{
			Index: i + 1, Name: fmt.Sprintf("p%d", i), HardwareAddr: []byte{2, 0, 0, 0, 1, byte(i)},
		}}
		v.ByName[l.Name], v.ByIndex[l.Index] = l, l
	}
	got := v.RouterMACs([]string{"p150"})
	if len(got) != 200 || got[0] != (dataplane.MAC{2, 0, 0, 0, 1, 150}) {
		t.Errorf("%d MACs, the first %v", len(got), got[0])
	}
}

func (b *box) neighbor(ifname, ip string, mac dataplane.MAC, state int) {
	b.t.Helper()
	check(b.t, b.Netlink().NeighSet(&netlink.Neigh{
		LinkIndex: b.link(ifname).Attrs().Index, IP: netip.MustParseAddr(ip).AsSlice(), HardwareAddr: mac[:], State: state,
	}))
}
