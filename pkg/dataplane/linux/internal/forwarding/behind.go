// SPDX-License-Identifier: Apache-2.0

package forwarding

import (
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/links"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/nft"
)

// Behind returns where the firewall sends packets of clients before the hook of a named
// bridge sees them: to other ports of the router, and to hosts beside it, such as
// containers. Where the hooks come first it is empty.
func (c *Checker) Behind(v *links.Snapshot) (list []nft.Target, err error) {
	if c.fw.rules == nil {
		return nil, nil // not read yet
	}
	for _, l := range v.ClientLinks(c.Names) {
		if l.Type() != "bridge" || !slices.Contains(c.Names, l.Attrs().Name) {
			continue
		}
		for _, f := range families {
			targets, err := c.targets(f, l)
			if err != nil {
				return nil, err
			}
			for _, t := range targets {
				if !t.Addr.IsValid() || c.beside(v, t.Addr) {
					list = append(list, t)
				}
			}
		}
	}
	return list, nil
}

// targets are those of the rules that see the frames of a bridge before its hook does.
func (c *Checker) targets(f family, bridge netlink.Link) ([]nft.Target, error) {
	if on, err := c.isOn("/proc/sys/net/bridge/" + f.bridged); err != nil || !on {
		return nil, err
	}
	return c.fw.rules.Targets(nft.Packet{Family: f.firewall, In: bridge.Attrs().Name, InIndex: bridge.Attrs().Index})
}

// beside reports whether an address is of a network that the router is itself in, and not
// one of clients: what is further away is reached by the uplink, and not the router's.
func (c *Checker) beside(v *links.Snapshot, addr netip.Addr) bool {
	routes, err := c.NL.RouteGet(addr.AsSlice())
	if err != nil || len(routes) != 1 || routes[0].Gw != nil {
		return false
	}
	return !slices.ContainsFunc(v.ClientLinks(c.Names), func(l netlink.Link) bool { return l.Attrs().Index == routes[0].LinkIndex })
}
