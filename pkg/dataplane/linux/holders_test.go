// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"errors"
	"net/netip"
	"slices"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
)

func TestHolders(t *testing.T) {
	b := newBox(t)
	b.bridge("br-lan", "lan1")
	b.veth("wan")
	d := b.open(b.options("lan1"))

	mac4, mac6, wan := dataplane.MAC{2, 0, 0, 0, 0, 4}, dataplane.MAC{2, 0, 0, 0, 0, 6}, dataplane.MAC{2, 0, 0, 0, 0, 9}
	b.neighbor("br-lan", "10.0.0.4", mac4, netlink.NUD_REACHABLE)
	b.neighbor("br-lan", "fe80::6", mac6, netlink.NUD_STALE)
	b.neighbor("wan", "192.0.2.1", wan, netlink.NUD_REACHABLE)
	b.neighbor("br-lan", "10.0.0.8", dataplane.MAC{2, 0, 0, 0, 0, 8}, netlink.NUD_FAILED)

	for _, c := range []struct {
		ip, ifname string
		want       dataplane.MAC
		err        error
	}{
		{"10.0.0.4", "", mac4, nil},
		{"::ffff:10.0.0.4", "", mac4, nil},
		{"10.0.0.4", "br-lan", mac4, nil},
		{"10.0.0.4", "lan1", mac4, nil}, // a port: its bridge has the table
		{"fe80::6", "", mac6, nil},
		{"fe80::6", "br-lan", mac6, nil},
		{"192.0.2.1", "", dataplane.MAC{}, dataplane.ErrNoNeighbor}, // no customers there
		{"192.0.2.1", "wan", dataplane.MAC{}, dataplane.ErrNoInterface},
		{"10.0.0.8", "", dataplane.MAC{}, dataplane.ErrNoNeighbor},
		{"10.0.0.5", "", dataplane.MAC{}, dataplane.ErrNoNeighbor},
	} {
		got, err := d.HoldersOf(netip.MustParseAddr(c.ip), c.ifname)
		want := []dataplane.Holder{{MAC: c.want, Interface: "br-lan"}}
		if c.want.IsZero() {
			want = nil
		}
		if !slices.Equal(got, want) || !errors.Is(err, c.err) {
			t.Errorf("%s on %q: %v, %v, want %v, %v", c.ip, c.ifname, got, err, want, c.err)
		}
	}
}

// One address on two interfaces. The kind of fault: of several answers one is taken by a
// rank that says little; the device that is asked about may be the other. Both that answer
// are named, one that left is not, and an interface decides.
func TestHoldersOfOneAddress(t *testing.T) {
	b := newBox(t)
	b.veth("lan1")
	b.veth("lan2")
	d := b.open(b.options("lan1", "lan2"))
	ip := netip.MustParseAddr("10.0.0.4")
	first := dataplane.Holder{MAC: dataplane.MAC{2, 0, 0, 0, 0, 4}, Interface: "lan1"}
	second := dataplane.Holder{MAC: dataplane.MAC{2, 0, 0, 0, 0, 5}, Interface: "lan2"}
	holders := func(ifname string, want ...dataplane.Holder) {
		t.Helper()
		if got, err := d.HoldersOf(ip, ifname); err != nil || !slices.Equal(got, want) {
			t.Errorf("on %q: %v, %v, want %v", ifname, got, err, want)
		}
	}
	// Permanent entries answer as a device would that is there; the others' devices are not.
	b.neighbor("lan1", ip.String(), first.MAC, netlink.NUD_PERMANENT)
	b.neighbor("lan2", ip.String(), second.MAC, netlink.NUD_STALE)
	holders("", first)
	b.neighbor("lan2", ip.String(), second.MAC, netlink.NUD_REACHABLE) // left some seconds ago
	holders("", first)
	b.neighbor("lan2", ip.String(), second.MAC, netlink.NUD_PERMANENT)
	holders("", first, second)
	holders("lan1", first)
	holders("lan2", second)
	b.neighbor("lan1", ip.String(), first.MAC, netlink.NUD_STALE)
	b.neighbor("lan2", ip.String(), second.MAC, netlink.NUD_REACHABLE)
	holders("", first, second) // neither answers: whose it is cannot be said
	b.neighbor("lan1", ip.String(), second.MAC, netlink.NUD_STALE)
	b.neighbor("lan2", ip.String(), second.MAC, netlink.NUD_STALE)
	holders("", dataplane.Holder{MAC: second.MAC, Interface: "lan1"}, second) // one device that roamed
}
