// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"errors"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
)

const (
	// sightingBacklog is how many sightings wait for a slow consumer here.
	sightingBacklog = 256
	// heardPerSecond bounds the work that made-up neighbours cause, and a MAC that two
	// machines toss between the ports of a bridge with each of their frames. What is
	// over it the socket drops; the tables are looked through then.
	heardPerSecond = 4000
	// listEvery bounds how often the tables are looked through.
	listEvery = time.Second
)

// Sightings returns the channel that tells where clients with a rule are seen: as the
// kernel's neighbour tables and bridges notice it, and once from what they have when a
// client gets its rule. IPv6 addresses are left out: hosts change them as they like.
// Sightings may be lost in a flood. Close closes it.
func (d *Dataplane) Neighbors() <-chan dataplane.Neighbor { return d.sightings }

// hearNeighbors passes on what the kernel notifies of.
func (d *Dataplane) hearNeighbors() {
	second, heard := time.Now(), 0
	for {
		messages, _, err := d.neighbors.sock.Receive()
		if errors.Is(err, unix.ENOBUFS) {
			d.neighbors.mark()
		} else if err != nil && d.neighbors.pause(err) {
			return
		}
		for _, m := range messages {
			if m.Header.Type != unix.RTM_NEWNEIGH {
				continue
			}
			if n, err := netlink.NeighDeserialize(m.Data); err == nil && !d.sight(n, evidenceOf(n.State)) {
				return
			}
		}
		if heard += len(messages); heard >= heardPerSecond {
			select {
			case <-d.closing:
				return
			case <-time.After(time.Until(second.Add(time.Second))):
			}
			second, heard = time.Now(), 0
		}
	}
}

// evidenceOf is that of a notification, 0 for none: a state that only says that the
// kernel is about to ask, or got no answer.
func evidenceOf(state int) dataplane.NeighState {
	switch {
	case state&(netlink.NUD_REACHABLE|netlink.NUD_PERMANENT) != 0:
		return dataplane.NeighReachable
	case state&netlink.NUD_STALE != 0:
		return dataplane.NeighUpdated
	}
	return 0
}

// listNeighbors passes on what the tables have when there is reason to look.
func (d *Dataplane) listNeighbors() {
	pace := time.NewTicker(listEvery)
	defer pace.Stop()
	for {
		select {
		case <-d.closing:
			return
		case <-d.neighbors.dirty:
		}
		if err := d.listAll(); err != nil {
			d.opts.Log.Warn("the neighbour tables cannot be read: a conflict may be missed", "error", err)
		}
		select {
		case <-d.closing:
			return
		case <-pace.C:
		}
	}
}

func (d *Dataplane) listAll() error {
	for _, family := range []int{unix.AF_BRIDGE, netlink.FAMILY_V4} {
		open := true
		err := d.listed(family, func(n *netlink.Neigh) bool {
			open = evidenceOf(n.State) != dataplane.NeighReachable || d.sight(n, dataplane.NeighStale)
			return open
		})
		if err != nil || !open {
			return err
		}
	}
	return nil
}

// listed visits the neighbours of all interfaces, until visit returns false: one by one,
// as somebody may have made up very many. Where the table changes meanwhile some are visited again.
func (d *Dataplane) listed(family int, visit func(*netlink.Neigh) bool) error {
	list := func() error {
		request := nl.NewNetlinkRequest(unix.RTM_GETNEIGH, unix.NLM_F_DUMP)
		request.AddData(&netlink.Ndmsg{Family: uint8(family)})
		return request.ExecuteIter(unix.NETLINK_ROUTE, unix.RTM_NEWNEIGH, func(message []byte) bool {
			n, err := netlink.NeighDeserialize(message)
			return err != nil || visit(n)
		})
	}
	if err := d.space.run(func() error { return dump(list) }); err != nil {
		return explain("listing neighbours", err)
	}
	return nil
}

// sight passes on a neighbour that is a client. False: closing.
func (d *Dataplane) sight(n *netlink.Neigh, evidence dataplane.NeighState) bool {
	var s dataplane.Neighbor
	if evidence == 0 || copy(s.MAC[:], n.HardwareAddr) != len(s.MAC) {
		return true
	}
	var client bool
	if s.Account, client = d.table.allowed(s.MAC); !client || !d.place(n, &s) {
		return true
	}
	s.State = evidence
	select {
	case d.sightings <- s:
		return true
	case <-d.closing:
		return false
	}
}

// place fills in where a neighbour is; false when that is no place of clients.
func (d *Dataplane) place(n *netlink.Neigh, s *dataplane.Neighbor) bool {
	v := d.currentView()
	at := n.LinkIndex // of a bridge's own table: the port
	if n.Family == unix.AF_BRIDGE {
		at = n.MasterIndex
	}
	if !v.clientFacing(d.opts.Interfaces, at) {
		return false
	}
	switch n.Family {
	case unix.AF_BRIDGE:
		if port := v.byIndex[n.LinkIndex]; port != nil {
			s.Port = port.Attrs().Name
		}
	case unix.AF_INET:
		s.Addr, _ = netip.AddrFromSlice(n.IP)
	}
	return s.Port != "" || s.Addr.IsValid()
}

// clientFacing reports whether clients' neighbour entries are those of an interface.
func (v *view) clientFacing(ifnames []string, index int) bool {
	for _, l := range v.clientLinks(ifnames) {
		if l.Attrs().Index == index {
			return true
		}
	}
	return false
}

// Locate returns the IPv4 addresses that the neighbour tables have of a client now,
// NeighReachable or NeighStale.
func (d *Dataplane) NeighborsOf(mac dataplane.MAC) ([]dataplane.Neighbor, error) {
	var found []dataplane.Neighbor
	err := d.listed(netlink.FAMILY_V4, func(n *netlink.Neigh) bool {
		s := dataplane.Neighbor{State: dataplane.NeighStale}
		if copy(s.MAC[:], n.HardwareAddr) != len(s.MAC) || s.MAC != mac || neighborRank(n.State) == 0 || !d.place(n, &s) {
			return true
		}
		if neighborRank(n.State) > 1 {
			s.State = dataplane.NeighReachable
		}
		found = append(found, s)
		return true
	})
	if err != nil {
		return nil, err // half of a table may be the half with somebody else
	}
	return found, nil
}
