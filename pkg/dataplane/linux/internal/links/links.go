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

// RouterMACs are the addresses on which the router takes frames: those of all of
// its interfaces, as a bridge answers for each of its ports, and what is stacked
// on one (VLANs, macvlans) may have an address of its own. The client-facing
// interfaces and their bridges come first.
func (v *Snapshot) RouterMACs(ifnames []string) []dataplane.MAC {
	macs := UniqueMACs(v.ClientLinks(ifnames))
	for _, index := range slices.Sorted(maps.Keys(v.ByIndex)) {
		macs = append(macs, UniqueMACs([]netlink.Link{v.ByIndex[index]}, macs...)...)
	}
	return macs
}

// UniqueMACs are the Ethernet addresses of links that are not in known.
func UniqueMACs(links []netlink.Link, known ...dataplane.MAC) []dataplane.MAC {
	var macs []dataplane.MAC
	for _, l := range links {
		m := macOf(l)
		if m.CheckClient() == nil && !slices.Contains(known, m) && !slices.Contains(macs, m) {
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
