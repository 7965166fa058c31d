// SPDX-License-Identifier: Apache-2.0

package links

import (
	"net"
	"slices"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
)

// at makes an interface of a snapshot. Its MAC ends in its index.
func (v *Snapshot) at(l netlink.Link, name string, index, parent, master int) {
	a := l.Attrs()
	*a = netlink.NewLinkAttrs()
	a.Name, a.Index, a.ParentIndex, a.MasterIndex = name, index, parent, master
	a.HardwareAddr = net.HardwareAddr{2, 0, 0, 0, 0, byte(index)}
	v.ByName[name], v.ByIndex[index] = l, l
}

// stack is a router with a bridge of two ports, and about all that Linux can put on it.
func stack() *Snapshot {
	v := &Snapshot{ByName: map[string]netlink.Link{}, ByIndex: map[int]netlink.Link{}}
	for i := range 20 {
		v.at(&netlink.Veth{}, "container"+string(rune('a'+i)), 2+i, 0, 0)
	}
	v.at(&netlink.Bridge{}, "br-lan", 30, 0, 0)
	v.at(&netlink.Device{}, "lan1", 31, 0, 30)
	v.at(&netlink.Device{}, "lan2", 32, 0, 30)
	v.at(&netlink.Vlan{VlanId: 13, VlanProtocol: netlink.VLAN_PROTOCOL_8021Q}, "br-lan.13", 33, 30, 0)
	v.at(&netlink.Vlan{VlanId: 20, VlanProtocol: netlink.VLAN_PROTOCOL_8021AD}, "br-lan.20", 34, 30, 0)
	v.at(&netlink.Macvlan{}, "gw0", 35, 33, 0)                                                       // on a VLAN of the bridge
	v.at(&netlink.Veth{}, "inside", 36, 37, 0)                                                       // the other end of a port
	v.at(&netlink.Veth{}, "port", 37, 36, 30)                                                        //
	v.at(&netlink.Vlan{VlanId: 7, VlanProtocol: netlink.VLAN_PROTOCOL_8021Q}, "lan1.7", 38, 31, 0)   // beside the bridge
	v.at(&netlink.Vlan{VlanId: 13, VlanProtocol: netlink.VLAN_PROTOCOL_8021Q}, "wan.13", 40, 39, 0)  //
	v.at(&netlink.Device{}, "wan", 39, 0, 0)                                                         //
	v.at(&netlink.Vlan{VlanId: 99, VlanProtocol: netlink.VLAN_PROTOCOL_8021Q}, "foreign", 41, 30, 0) // of an index 30 elsewhere
	v.ByName["foreign"].Attrs().NetNsID = 0
	return v
}

// TestRouterMACsOrder: what can take a customer's frame comes before what has nothing to do
// with the bridge, so that a table without room for all has those.
func TestRouterMACsOrder(t *testing.T) {
	v := stack()
	var got []int
	for _, m := range v.RouterMACs([]string{"lan1"}) {
		got = append(got, int(m[5]))
	}
	near := []int{31, 30, 32, 33, 34, 35, 36, 37, 38}
	if head := slices.Sorted(slices.Values(got[:len(near)])); !slices.Equal(head, slices.Sorted(slices.Values(near))) {
		t.Errorf("first come %v, want %v in any order", got[:len(near)], near)
	}
	if got[0] != 31 || got[1] != 30 || len(got) != len(v.ByIndex) {
		t.Errorf("%d MACs of %d interfaces: %v", len(got), len(v.ByIndex), got)
	}
}

func TestRouterMACsAreUnique(t *testing.T) {
	v := stack()
	v.ByName["br-lan.13"].Attrs().HardwareAddr = v.ByName["br-lan"].Attrs().HardwareAddr
	v.ByName["gw0"].Attrs().HardwareAddr = nil
	v.ByName["wan"].Attrs().HardwareAddr = net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	got := v.RouterMACs([]string{"br-lan"})
	seen := map[dataplane.MAC]bool{}
	for _, m := range got {
		if seen[m] || m.CheckClient() != nil {
			t.Errorf("%v is there", m)
		}
		seen[m] = true
	}
	if len(got) != len(v.ByIndex)-3 {
		t.Errorf("%d MACs of %d interfaces", len(got), len(v.ByIndex))
	}
}

// TestOtherVLANs: on a cable that carries customers and more, what the router has a device
// for that is not named is not the customers'.
func TestOtherVLANs(t *testing.T) {
	v := stack()
	for _, c := range []struct {
		named []string
		want  []VLAN
	}{
		{[]string{"br-lan"}, []VLAN{{"br-lan.13", v.ByName["br-lan"], 0x8100, 13}, {"br-lan.20", v.ByName["br-lan"], 0x88a8, 20}}},
		{[]string{"br-lan", "br-lan.20"}, []VLAN{{"br-lan.13", v.ByName["br-lan"], 0x8100, 13}}},
		{[]string{"wan"}, []VLAN{{"wan.13", v.ByName["wan"], 0x8100, 13}}},
		{[]string{"wan.13", "absent"}, nil},
		{[]string{"lan1", "lan2"}, []VLAN{
			{"br-lan.13", v.ByName["lan1"], 0x8100, 13}, {"br-lan.13", v.ByName["lan2"], 0x8100, 13},
			{"br-lan.20", v.ByName["lan1"], 0x88a8, 20}, {"br-lan.20", v.ByName["lan2"], 0x88a8, 20},
			{"lan1.7", v.ByName["lan1"], 0x8100, 7},
		}},
	} {
		if got := v.OtherVLANs(c.named); !slices.Equal(got, c.want) {
			t.Errorf("%v: %v, want %v", c.named, got, c.want)
		}
	}
}
