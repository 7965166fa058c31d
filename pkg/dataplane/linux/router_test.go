// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/bpf"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/links"
)

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

// More MACs than the set has room for: as one is left out, frames to it would count as
// bridged, so on ports none does; status says so while it lasts. That is the kind: what
// cannot be distinguished fails closed.
func TestRouterMACsWhenFull(t *testing.T) {
	for _, c := range []struct {
		named string
		want  []dataplane.ProblemCode
	}{
		{"lan1", []dataplane.ProblemCode{dataplane.RouterMACsFull}},
		{"br-lan", nil}, // the programs of a bridge do not ask
	} {
		t.Run(c.named, func(t *testing.T) {
			b := newBox(t)
			b.bridge("br-lan", "lan1")
			var more atomic.Int64
			opts := b.options(c.named)
			opts.snapshot = func(_ *links.Snapshot, h *netlink.Handle, _ links.Changes) (*links.Snapshot, error) {
				v, err := links.TakeSnapshot(h)
				for i := range more.Load() {
					l := fakeLink(&netlink.Dummy{}, fmt.Sprintf("veth%d", i), 100_000+int(i), byte(i>>8), byte(i))
					v.ByName[l.Attrs().Name], v.ByIndex[l.Attrs().Index] = l, l
				}
				return v, err
			}
			room := int64(5000)
			more.Store(room)
			d := b.open(opts)
			full := func() bool {
				var value uint32
				check(t, d.maps.RouterMacsFull.Lookup(uint32(0), &value))
				return value != 0
			}
			codes := func() (codes []dataplane.ProblemCode) {
				for _, p := range d.Status().Problems {
					codes = append(codes, p.Code)
				}
				return codes
			}
			if got := codes(); !full() || !slices.Equal(got, c.want) {
				t.Errorf("full: %t, problems %v, want %v", full(), got, c.want)
			}
			for _, l := range []string{"lan1", "br-lan"} {
				if mac := dataplane.MAC(b.link(l).Attrs().HardwareAddr); !setOf[bpf.HotspotMacKey](t, d.maps.RouterMacs)[bpf.MACToWire(mac)] {
					t.Errorf("the MAC of %s is missing", l)
				}
			}
			more.Store(10)
			d.watch.watcher.MarkDirty()
			within(t, atOnce, "there is room again", func() bool { return !full() && len(codes()) == 0 })
		})
	}
}

// TestRouterVLANsFollow: tagged frames of a VLAN device that is not named are not the
// customers'. Its coming and going is followed; where another takes its place, that one's
// are not.
func TestRouterVLANsFollow(t *testing.T) {
	b := newBox(t)
	b.veth("lan")
	var id atomic.Int64
	opts := b.options("lan")
	opts.snapshot = func(_ *links.Snapshot, h *netlink.Handle, _ links.Changes) (*links.Snapshot, error) {
		v, err := links.TakeSnapshot(h)
		if n := int(id.Load()); n != 0 && err == nil {
			l := fakeLink(&netlink.Vlan{VlanId: n, VlanProtocol: netlink.VLAN_PROTOCOL_8021Q}, fmt.Sprintf("lan.%d", n), 100_000)
			l.Attrs().ParentIndex = v.ByName["lan"].Attrs().Index
			v.ByName[l.Attrs().Name], v.ByIndex[l.Attrs().Index] = l, l
		}
		return v, err
	}
	d := b.open(opts)
	index := b.link("lan").Attrs().Index
	for _, n := range []uint16{13, 20, 0} {
		want := map[bpf.HotspotVlanKey]bool{}
		if n != 0 {
			want[bpf.VLANToWire(index, 0x8100, n)] = true
		}
		id.Store(int64(n))
		d.watch.watcher.MarkDirty()
		within(t, atOnce, fmt.Sprintf("the set has VLAN %d alone", n), func() bool {
			return maps.Equal(setOf[bpf.HotspotVlanKey](t, d.maps.RouterVlans), want)
		})
	}
}

// fakeLink is an interface with a MAC that ends in two bytes.
func fakeLink(l netlink.Link, name string, index int, mac ...byte) netlink.Link {
	*l.Attrs() = netlink.NewLinkAttrs()
	l.Attrs().Name, l.Attrs().Index = name, index
	l.Attrs().HardwareAddr = append([]byte{2, 0, 0, 1}, mac...)
	return l
}

func (b *box) neighbor(ifname, ip string, mac dataplane.MAC, state int) {
	b.t.Helper()
	check(b.t, b.Netlink().NeighSet(&netlink.Neigh{
		LinkIndex: b.link(ifname).Attrs().Index, IP: netip.MustParseAddr(ip).AsSlice(), HardwareAddr: mac[:], State: state,
	}))
}
