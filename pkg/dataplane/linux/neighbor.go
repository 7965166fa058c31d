// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
)

// Neighbor returns the MAC behind an address of a client network, from the
// kernel's neighbour tables of the client-facing interfaces (of bridge ports: of
// their bridge), or ErrNoNeighbor. A zone of ip must be the interface's name.
func (d *Dataplane) NeighborMAC(ip netip.Addr) (dataplane.MAC, error) {
	links := d.currentView().clientLinks(d.opts.Interfaces)
	best, rank := dataplane.MAC{}, 0
	for _, l := range links {
		if ip.Zone() != "" && ip.Zone() != l.Attrs().Name {
			continue
		}
		mac, r, err := d.neighborOn(l, ip.WithZone("").Unmap())
		if err != nil {
			return dataplane.MAC{}, err
		}
		if r > rank {
			best, rank = mac, r
		}
	}
	if rank == 0 {
		return dataplane.MAC{}, fmt.Errorf("%s: %w", ip, dataplane.ErrNoNeighbor)
	}
	return best, nil
}

func (d *Dataplane) neighborOn(l netlink.Link, ip netip.Addr) (dataplane.MAC, int, error) {
	family := netlink.FAMILY_V6
	if ip.Is4() {
		family = netlink.FAMILY_V4
	}
	var list []netlink.Neigh
	err := dump(func() (err error) {
		list, err = d.nl.NeighList(l.Attrs().Index, family)
		return err
	})
	if err != nil {
		return dataplane.MAC{}, 0, explain("neighbours of "+l.Attrs().Name, err)
	}
	for _, n := range list {
		found, _ := netip.AddrFromSlice(n.IP)
		var mac dataplane.MAC
		if found.Unmap() == ip && copy(mac[:], n.HardwareAddr) == len(mac) && mac.CheckClient() == nil {
			return mac, neighborRank(n.State), nil
		}
	}
	return dataplane.MAC{}, 0, nil
}

// neighborRank prefers what the kernel confirmed lately; 0 is no neighbour at all.
func neighborRank(state int) int {
	switch {
	case state&(netlink.NUD_PERMANENT|netlink.NUD_REACHABLE) != 0:
		return 3
	case state&(netlink.NUD_DELAY|netlink.NUD_PROBE) != 0:
		return 2
	case state&netlink.NUD_STALE != 0:
		return 1
	}
	return 0
}
