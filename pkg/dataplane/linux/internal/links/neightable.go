// SPDX-License-Identifier: Apache-2.0

package links

import (
	"net/netip"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/kernel"
)

// NeighStateOf is that of a notification, 0 for none: a state that only says that the
// kernel is about to probe, or got no answer.
func NeighStateOf(state int) dataplane.NeighState {
	switch {
	case state&(netlink.NUD_REACHABLE|netlink.NUD_PERMANENT) != 0:
		return dataplane.NeighReachable
	case state&netlink.NUD_STALE != 0:
		return dataplane.NeighUpdated
	}
	return 0
}

// NudRank prefers what the kernel confirmed lately; 0 is no neighbour at all.
func NudRank(state int) int {
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

// EachNeighbor visits the neighbours of all interfaces, until visit returns false: one by
// one, as an attacker may have made up very many. The rest of the table is not read then:
// a bridge's takes the kernel time by the square of its length. Where the table changes
// meanwhile some are visited again.
func EachNeighbor(ns *NetNS, family int, visit func(*netlink.Neigh) bool) error {
	list := func() error {
		socket, err := nl.Subscribe(unix.NETLINK_ROUTE)
		if err != nil {
			return err
		}
		defer socket.Close()
		stopped := false
		request := nl.NewNetlinkRequest(unix.RTM_GETNEIGH, unix.NLM_F_DUMP)
		request.Sockets = map[int]*nl.SocketHandle{unix.NETLINK_ROUTE: {Socket: socket}}
		request.AddData(&netlink.Ndmsg{Family: uint8(family)})
		err = request.ExecuteIter(unix.NETLINK_ROUTE, unix.RTM_NEWNEIGH, func(message []byte) bool {
			n, err := netlink.NeighDeserialize(message)
			if err != nil || visit(n) {
				return true
			}
			stopped = true
			socket.Close() // the request receives what is left otherwise
			return false
		})
		if stopped {
			return nil
		}
		return err
	}
	if err := ns.Run(func() error { return Dump(list) }); err != nil {
		return kernel.Explain("listing neighbours", err)
	}
	return nil
}

// ClientAt finds the client behind an address in the neighbour table of an interface; nil
// when there is none.
func ClientAt(h *netlink.Handle, on netlink.Link, ip netip.Addr) (*netlink.Neigh, error) {
	family := netlink.FAMILY_V6
	if ip.Is4() {
		family = netlink.FAMILY_V4
	}
	var list []netlink.Neigh
	err := Dump(func() (err error) {
		list, err = h.NeighList(on.Attrs().Index, family)
		return err
	})
	if err != nil {
		return nil, kernel.Explain("neighbours of "+on.Attrs().Name, err)
	}
	for _, n := range list {
		found, _ := netip.AddrFromSlice(n.IP)
		if found.Unmap() == ip && NudRank(n.State) > 0 && ClientMAC(n).CheckClient() == nil {
			return &n, nil
		}
	}
	return nil, nil
}

// ClientMAC is the Ethernet address of a neighbour, or the zero MAC.
func ClientMAC(n netlink.Neigh) (mac dataplane.MAC) {
	if len(n.HardwareAddr) == len(mac) {
		copy(mac[:], n.HardwareAddr)
	}
	return mac
}

// Locate fills in where a neighbour is; false when that is no place of clients.
func (l *Snapshot) Locate(ifnames []string, n *netlink.Neigh, at *dataplane.Neighbor) bool {
	index := n.LinkIndex // of a bridge's own table: the port
	if n.Family == unix.AF_BRIDGE {
		index = n.MasterIndex
	}
	if !l.clientFacing(ifnames, index) {
		return false
	}
	switch n.Family {
	case unix.AF_BRIDGE:
		if port := l.ByIndex[n.LinkIndex]; port != nil {
			at.Port = port.Attrs().Name
		}
	case unix.AF_INET:
		at.Addr, _ = netip.AddrFromSlice(n.IP)
	}
	return at.Port != "" || at.Addr.IsValid()
}
