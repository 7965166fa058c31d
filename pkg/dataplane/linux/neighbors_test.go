// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/links"
)

// bridge adds a bridge with ports.
func (b *box) bridge(name string, ports ...string) {
	b.t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	check(b.t, b.Netlink().LinkAdd(&netlink.Bridge{LinkAttrs: attrs}))
	check(b.t, b.Netlink().LinkSetUp(b.link(name)))
	for _, port := range ports {
		b.veth(port)
		check(b.t, b.Netlink().LinkSetMaster(b.link(port), b.link(name)))
	}
}

// onPort has the bridge of a port know a MAC there, as a frame of it would.
func (b *box) onPort(port string, mac dataplane.MAC) {
	b.t.Helper()
	check(b.t, b.Netlink().NeighSet(&netlink.Neigh{
		LinkIndex: b.link(port).Attrs().Index, Family: unix.AF_BRIDGE, Flags: netlink.NTF_MASTER,
		HardwareAddr: mac[:], State: netlink.NUD_REACHABLE,
	}))
}

// nextNeighbor is the next one that is reported.
func (d *Dataplane) nextNeighbor(t *testing.T) dataplane.Neighbor {
	t.Helper()
	select {
	case s := <-d.Neighbors():
		return s
	case <-time.After(atOnce):
		t.Fatal("no neighbour reported")
		return dataplane.Neighbor{}
	}
}

// expectNeighbor passes over what a dump of the tables, which takes its time, may
// find once more meanwhile.
func expectNeighbor(t *testing.T, d *Dataplane, want dataplane.Neighbor) {
	t.Helper()
	want.MAC, want.Account = phone, allow.Account
	got := d.nextNeighbor(t)
	for got.State == dataplane.NeighStale && want.State != dataplane.NeighStale {
		got = d.nextNeighbor(t)
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Errorf("neighbour (-want +got):\n%s", diff)
	}
}

// What is reported of a client: its IPv4 addresses and its port, on the bridge that is
// named or whose port is, and nothing of others.
func TestNeighbors(t *testing.T) {
	for _, named := range []string{"br-lan", "lan1"} {
		t.Run(named, func(t *testing.T) {
			b := newBox(t)
			b.bridge("br-lan", "lan1", "lan2")
			b.veth("wan")
			first, second := netip.MustParseAddr("10.0.0.4"), netip.MustParseAddr("10.0.0.5")
			b.neighbor("br-lan", first.String(), phone, netlink.NUD_REACHABLE)
			d := b.open(b.options(named))
			check(t, d.Grant(phone, allow))
			expectNeighbor(t, d, dataplane.Neighbor{Addr: first, State: dataplane.NeighStale})

			b.neighbor("br-lan", "fd00::4", phone, netlink.NUD_REACHABLE)
			b.neighbor("br-lan", "10.0.0.9", dataplane.MAC{2, 0, 0, 0, 0, 9}, netlink.NUD_REACHABLE)
			b.neighbor("wan", "192.0.2.4", phone, netlink.NUD_REACHABLE)
			b.neighbor("br-lan", "10.0.0.6", phone, netlink.NUD_PROBE)
			b.neighbor("br-lan", second.String(), phone, netlink.NUD_STALE)
			expectNeighbor(t, d, dataplane.Neighbor{Addr: second, State: dataplane.NeighUpdated})
			b.neighbor("br-lan", first.String(), phone, netlink.NUD_PERMANENT)
			expectNeighbor(t, d, dataplane.Neighbor{Addr: first, State: dataplane.NeighReachable})
			b.onPort("lan1", phone)
			expectNeighbor(t, d, dataplane.Neighbor{Port: "lan1", State: dataplane.NeighReachable})
			b.onPort("lan2", phone)
			expectNeighbor(t, d, dataplane.Neighbor{Port: "lan2", State: dataplane.NeighReachable})

			check(t, d.Revoke(phone))
			check(t, d.Grant(phone, allow))
			expectNeighbor(t, d, dataplane.Neighbor{Port: "lan2", State: dataplane.NeighStale})
			expectNeighbor(t, d, dataplane.Neighbor{Addr: first, State: dataplane.NeighStale})
			check(t, d.Close())
			for range d.Neighbors() {
				t.Error("a neighbour reported after Close")
			}
		})
	}
}

// A flood of neighbours that are no clients is not reported, and what comes after it
// is, if the socket overflowed or not.
func TestNeighborsInAFlood(t *testing.T) {
	b := newBox(t)
	b.bridge("br-lan", "lan1", "lan2")
	d := b.open(b.options("br-lan"))
	check(t, d.Grant(phone, allow))
	check(t, d.neighbors.watcher.Sock.SetReceiveBufferSize(2304, false))
	for i := range 2000 {
		b.onPort("lan1", dataplane.MAC{2, 0, 1, 0, byte(i >> 8), byte(i)})
	}
	b.onPort("lan2", phone)
	s := d.nextNeighbor(t)
	if s.MAC != phone || s.Port != "lan2" {
		t.Errorf("after the flood %+v", s)
	}
}

func TestLocate(t *testing.T) {
	b := newBox(t)
	b.bridge("br-lan", "lan1")
	b.veth("wan")
	d := b.open(b.options("br-lan"))
	for ip, state := range map[string]int{"10.0.0.4": netlink.NUD_REACHABLE, "10.0.0.5": netlink.NUD_STALE, "10.0.0.6": netlink.NUD_FAILED} {
		b.neighbor("br-lan", ip, phone, state)
	}
	b.neighbor("br-lan", "10.0.0.7", dataplane.MAC{2, 0, 0, 0, 0, 9}, netlink.NUD_REACHABLE)
	b.neighbor("wan", "192.0.2.4", phone, netlink.NUD_REACHABLE)
	found, err := d.NeighborsOf(phone)
	check(t, err)
	got := make(map[string]dataplane.NeighState)
	for _, s := range found {
		got[s.Addr.String()] = s.State
	}
	if diff := cmp.Diff(map[string]dataplane.NeighState{"10.0.0.4": dataplane.NeighReachable, "10.0.0.5": dataplane.NeighStale}, got); diff != "" {
		t.Error(fmt.Errorf("found (-want +got):\n%s", diff))
	}
}

// A table that an attacker filled is read no further than it is wanted: the agent does not
// end later for it.
func TestLongTableIsLeft(t *testing.T) {
	b := newBox(t)
	b.bridge("br-lan", "lan1")
	const macs = 20_000
	for i := range macs {
		b.onPort("lan1", dataplane.MAC{2, 9, 0, byte(i >> 16), byte(i >> 8), byte(i)})
	}
	ns, err := links.OpenNetNS(b.NetNS())
	check(t, err)
	t.Cleanup(ns.Close)
	read := func(most int) (visited int, fastest time.Duration) {
		t.Helper()
		fastest = time.Hour
		for range 5 {
			start := time.Now()
			visited = 0
			check(t, links.EachNeighbor(ns, unix.AF_BRIDGE, func(*netlink.Neigh) bool {
				visited++
				return visited < most
			}))
			fastest = min(fastest, time.Since(start))
		}
		return visited, fastest
	}
	all, whole := read(2 * macs)
	one, part := read(1)
	t.Logf("%d entries in %v, %d in %v", all, whole, one, part)
	if all < macs || one != 1 || part > whole/5 {
		t.Errorf("%d entries in %v, %d in %v; want at least %d, and one in a fifth of the time", all, whole, one, part, macs)
	}
}
