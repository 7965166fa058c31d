// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/bpf"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/links"
)

// The kind of fault that these tests are of: work that grows with all that the machine has,
// at each change of something else. What changed is looked at, and nothing else.

// others adds pairs of interfaces that are none of ours.
func (b *box) others(n int) {
	b.t.Helper()
	for i := range n {
		check(b.t, b.other(fmt.Sprintf("d%d", i)))
	}
}

func (b *box) other(name string) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.Flags = name, net.FlagUp
	return b.Netlink().LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: name + "p"})
}

func TestForeignChangesCostLittle(t *testing.T) {
	b := newBox(t)
	b.veth("lan")
	b.others(150)
	opts := b.options("lan")
	var all, single atomic.Int64
	opts.snapshot = func(before *links.Snapshot, h *netlink.Handle, c links.Changes) (*links.Snapshot, error) {
		if c.All {
			all.Add(1)
		} else {
			single.Add(1)
		}
		return before.Refresh(h, c)
	}
	d := b.open(opts)
	whole := all.Load()
	const changes = 100
	for i := range changes {
		check(t, b.Netlink().LinkSetMTU(b.link(fmt.Sprintf("d%d", i)), 1400))
		time.Sleep(5 * time.Millisecond) // what comes together is gathered
	}
	last := fmt.Sprintf("d%d", changes-1)
	within(t, atOnce, "the last change is seen", func() bool { return d.state.currentLinks().ByName[last].Attrs().MTU == 1400 })
	if got := all.Load() - whole; got != 0 {
		t.Errorf("all interfaces were listed %d times for changes of single ones", got)
	}
	if got := single.Load(); got == 0 || got > 2*changes {
		t.Errorf("%d refreshes for %d changes", got, changes)
	}
}

// Of a notification only what it is about is looked at: an interface, by its index of before
// or of now, and the ports of a bridge.
func TestConcerns(t *testing.T) {
	now := &links.Snapshot{ByName: map[string]netlink.Link{
		"lan":  &netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: 3}},
		"port": &netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: 4, MasterIndex: 9}},
	}}
	for _, test := range []struct {
		name    string
		before  attachment
		changed int
		want    bool
	}{
		{"lan", attachment{}, 3, true},
		{"lan", attachment{Interface: dataplane.Interface{Index: 2}}, 2, true},
		{"lan", attachment{Interface: dataplane.Interface{Index: 3}}, 5, false},
		{"port", attachment{}, 4, true},
		{"port", attachment{}, 9, true},
		{"port", attachment{bridge: 8}, 8, true},
		{"port", attachment{bridge: 9}, 3, false},
		{"absent", attachment{}, 3, false},
		{"absent", attachment{Interface: dataplane.Interface{Index: 7}}, 7, true},
	} {
		if got := concerns(now, test.before, test.name, func(index int) bool { return index == test.changed }); got != test.want {
			t.Errorf("%s, was %d below %d, a change of %d: %v, want %v", test.name, test.before.Index, test.before.bridge, test.changed, got, test.want)
		}
	}
}

// described is what a snapshot says, to be compared.
func described(v *links.Snapshot) map[string]string {
	all := map[string]string{"addresses": fmt.Sprint(v.Addrs)}
	for name, l := range v.ByName {
		at := l.Attrs()
		all[name] = fmt.Sprint(l.Type(), at.Index, at.MasterIndex, at.HardwareAddr, at.MTU, v.ByIndex[at.Index].Attrs().Name, len(v.ByIndex))
	}
	return all
}

// After any changes the snapshot that followed them is that of a whole dump.
func TestSnapshotFollowsChanges(t *testing.T) {
	b := newBox(t)
	b.veth("lan")
	b.others(8)
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "br"
	check(t, b.Netlink().LinkAdd(&netlink.Bridge{LinkAttrs: attrs}))
	d := b.open(b.options("lan"))
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 1))
	for range 300 {
		b.changeSomething(random)
		if random.IntN(50) == 0 {
			d.watch.watcher.MarkDirty() // as after lost notifications
		}
	}
	within(t, atOnce, "the snapshot is that of a dump", func() bool {
		whole, err := links.TakeSnapshot(b.Netlink())
		check(t, err)
		return cmp.Equal(described(whole), described(d.state.currentLinks()))
	})
	want := make(map[string]bool)
	for _, a := range d.state.currentLinks().Addrs {
		want[a.String()] = true
	}
	within(t, atOnce, "the kernel has the router's addresses", func() bool {
		return len(want) == len(setOf[bpf.HotspotAddrKey](t, d.maps.RouterAddrs))
	})
	if t.Failed() {
		t.Logf("seed %d", seed)
	}
}

// changeSomething changes an interface or an address; where that is not possible now, nothing.
func (b *box) changeSomething(random *rand.Rand) {
	l, err := b.Netlink().LinkByName(fmt.Sprintf("d%d", random.IntN(10)))
	if err != nil {
		_ = b.other(fmt.Sprintf("d%d", random.IntN(10)))
		return
	}
	addr := &netlink.Addr{IPNet: &net.IPNet{
		IP: netip.AddrFrom4([4]byte{10, 9, 0, byte(1 + random.IntN(3))}).AsSlice(), Mask: net.CIDRMask(16+8*random.IntN(2), 32),
	}}
	switch random.IntN(8) {
	case 0:
		_ = b.Netlink().LinkDel(l)
	case 1:
		_ = b.Netlink().LinkSetName(l, fmt.Sprintf("d%d", random.IntN(10)))
	case 2:
		_ = b.Netlink().LinkSetDown(l)
	case 3:
		_ = b.Netlink().LinkSetUp(l)
	case 4:
		_ = b.Netlink().LinkSetMaster(l, b.link("br"))
	case 5:
		_ = b.Netlink().LinkSetNoMaster(l)
	case 6:
		_ = b.Netlink().AddrAdd(l, addr)
	case 7:
		_ = b.Netlink().AddrDel(l, addr)
	}
}
