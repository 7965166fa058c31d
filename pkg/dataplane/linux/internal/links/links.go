// SPDX-License-Identifier: Apache-2.0

// Package links reads and watches the interfaces, addresses, bridge ports and neighbours of
// a network namespace by rtnetlink(7).
package links

import (
	"errors"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/kernel"
)

// Snapshot is a snapshot of the interfaces and addresses of a network namespace. Immutable.
type Snapshot struct {
	ByName  map[string]netlink.Link
	ByIndex map[int]netlink.Link
	Addrs   []netip.Addr // the router's own, loopback ones left out
	on      map[ifAddr]bool
}

// TakeSnapshot lists interfaces and addresses.
func TakeSnapshot(nl *netlink.Handle) (*Snapshot, error) {
	v := &Snapshot{ByName: make(map[string]netlink.Link), ByIndex: make(map[int]netlink.Link), on: make(map[ifAddr]bool)}
	var links []netlink.Link
	err := Dump(func() (err error) {
		links, err = nl.LinkList()
		return err
	})
	if err != nil {
		return nil, kernel.Explain("listing interfaces", err)
	}
	for _, l := range links {
		v.ByName[l.Attrs().Name] = l
		v.ByIndex[l.Attrs().Index] = l
	}
	var addrs []netlink.Addr
	err = Dump(func() (err error) {
		addrs, err = nl.AddrList(nil, netlink.FAMILY_ALL)
		return err
	})
	if err != nil {
		return nil, kernel.Explain("listing addresses", err)
	}
	for _, a := range addrs {
		if ip, ok := netip.AddrFromSlice(a.IP); ok {
			bits, _ := a.Mask.Size()
			v.on[ifAddr{a.LinkIndex, netip.PrefixFrom(ip.Unmap(), bits)}] = true
		}
	}
	v.Addrs = ownAddrs(v.on)
	return v, nil
}

// Addressed has the indexes of the interfaces with an address of IPv4, or of IPv6, that is
// not of the link alone.
func (v *Snapshot) Addressed(ipv4 bool) map[int]bool {
	has := make(map[int]bool)
	for a := range v.on {
		if ip := a.prefix.Addr(); ip.Is4() == ipv4 && !ip.IsLinkLocalUnicast() {
			has[a.index] = true
		}
	}
	return has
}

// Bridge returns the bridge that an interface is a port of, or nil.
func (v *Snapshot) Bridge(l netlink.Link) netlink.Link {
	master := v.ByIndex[l.Attrs().MasterIndex]
	if master == nil || master.Type() != "bridge" {
		return nil
	}
	return master
}

// ClientLinks are the named interfaces that exist and, of bridge ports, the
// bridge: where clients' neighbour entries are.
func (v *Snapshot) ClientLinks(ifnames []string) []netlink.Link {
	var list []netlink.Link
	seen := make(map[int]bool)
	add := func(l netlink.Link) {
		if l != nil && !seen[l.Attrs().Index] {
			seen[l.Attrs().Index] = true
			list = append(list, l)
		}
	}
	for _, name := range ifnames {
		if l := v.ByName[name]; l != nil {
			add(l)
			add(v.Bridge(l))
		}
	}
	return list
}

// macOf is the Ethernet address of an interface, or the zero MAC.
func macOf(l netlink.Link) dataplane.MAC {
	var m dataplane.MAC
	if hw := l.Attrs().HardwareAddr; len(hw) == len(m) {
		copy(m[:], hw)
	}
	return m
}

// Dump repeats a netlink dump that a change of the table interrupted. On a table
// that never rests the last, possibly incomplete, answer is taken: the change
// that interrupted it notifies the watcher, which dumps again.
func Dump(list func() error) error {
	const tries = 5
	for range tries {
		err := list()
		if !errors.Is(err, netlink.ErrDumpInterrupted) {
			return err
		}
		time.Sleep(time.Millisecond)
	}
	return nil
}

// RouterMACs are the addresses on which the router takes frames: those of all of its
// interfaces, as a bridge answers for each of its ports, and what is stacked on one (VLANs,
// macvlans) may have an address of its own. The client-facing interfaces and their bridges
// come first, then what is linked with them, the nearest first.
func (v *Snapshot) RouterMACs(ifnames []string) []dataplane.MAC {
	near := v.linked(v.ClientLinks(ifnames))
	for _, index := range slices.Sorted(maps.Keys(v.ByIndex)) {
		near = append(near, v.ByIndex[index])
	}
	return UniqueMACs(near)
}

// linked adds to links all that is over, under or beside them: what is stacked on one, its
// master and ports, the other end of a veth.
func (v *Snapshot) linked(links []netlink.Link) []netlink.Link {
	neighbors := make(map[int][]netlink.Link)
	for _, index := range slices.Sorted(maps.Keys(v.ByIndex)) {
		l := v.ByIndex[index]
		for _, other := range []netlink.Link{v.parent(l), v.ByIndex[l.Attrs().MasterIndex]} {
			if other != nil {
				neighbors[index] = append(neighbors[index], other)
				neighbors[other.Attrs().Index] = append(neighbors[other.Attrs().Index], l)
			}
		}
	}
	seen := make(map[int]bool)
	for _, l := range links {
		seen[l.Attrs().Index] = true
	}
	for at := 0; at < len(links); at++ {
		for _, l := range neighbors[links[at].Attrs().Index] {
			if !seen[l.Attrs().Index] {
				seen[l.Attrs().Index] = true
				links = append(links, l)
			}
		}
	}
	return links
}

// parent is the interface that l is stacked on, or the other end of a veth; nil where it
// is in another namespace, whose indexes are its own.
func (v *Snapshot) parent(l netlink.Link) netlink.Link {
	if l.Attrs().NetNsID >= 0 {
		return nil
	}
	return v.ByIndex[l.Attrs().ParentIndex]
}

// VLAN is a VLAN device of the router on a client-facing interface or on its bridge.
type VLAN struct {
	Name     string // the device
	On       netlink.Link
	Protocol uint16 // of the tag: 0x8100 or 0x88a8
	ID       uint16
}

// OtherVLANs are the VLAN devices on client-facing interfaces, or on the bridge of one, that
// are not client-facing themselves: the uplink of a router on a stick, say. On is the
// client-facing interface, where their tagged frames pass. Sorted by name.
func (v *Snapshot) OtherVLANs(ifnames []string) []VLAN {
	on := make(map[int][]netlink.Link)
	for _, name := range ifnames {
		l := v.ByName[name]
		if l == nil {
			continue
		}
		on[l.Attrs().Index] = append(on[l.Attrs().Index], l)
		if bridge := v.Bridge(l); bridge != nil {
			on[bridge.Attrs().Index] = append(on[bridge.Attrs().Index], l)
		}
	}
	var list []VLAN
	for _, name := range slices.Sorted(maps.Keys(v.ByName)) {
		vlan, ok := v.ByName[name].(*netlink.Vlan)
		if !ok || slices.Contains(ifnames, name) || v.parent(vlan) == nil {
			continue
		}
		for _, l := range on[vlan.ParentIndex] {
			list = append(list, VLAN{Name: name, On: l, Protocol: uint16(vlan.VlanProtocol), ID: uint16(vlan.VlanId)})
		}
	}
	return list
}

// UniqueMACs are the Ethernet addresses of links, each once.
func UniqueMACs(links []netlink.Link) []dataplane.MAC {
	var macs []dataplane.MAC
	seen := make(map[dataplane.MAC]bool)
	for _, l := range links {
		if m := macOf(l); m.CheckClient() == nil && !seen[m] {
			seen[m] = true
			macs = append(macs, m)
		}
	}
	return macs
}

// clientFacing reports whether clients' neighbour entries are those of an interface.
func (v *Snapshot) clientFacing(ifnames []string, index int) bool {
	return slices.ContainsFunc(v.ClientLinks(ifnames), func(on netlink.Link) bool { return on.Attrs().Index == index })
}

// PortsOf are the ports of a bridge.
func (v *Snapshot) PortsOf(bridge netlink.Link) []netlink.Link {
	var ports []netlink.Link
	for _, p := range v.ByIndex {
		if p.Attrs().MasterIndex == bridge.Attrs().Index {
			ports = append(ports, p)
		}
	}
	return ports
}
