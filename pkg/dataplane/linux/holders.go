// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/links"
)

const (
	// answerWithin is how long the holders of one address have to answer a probe. A phone
	// that sleeps takes some beacons.
	answerWithin = time.Second
	// answerPoll is how often their entries are read meanwhile.
	answerPoll = 20 * time.Millisecond
)

// holder is an entry of a neighbour table.
type holder struct {
	on    netlink.Link
	entry netlink.Neigh
}

// holders returns the clients that have an address. Where tables disagree, each is asked: an entry stays
// in its table long after the device left.
func (n *neighbors) holders(h *netlink.Handle, ip netip.Addr, ifname string) ([]dataplane.Holder, error) {
	on, err := n.clientLinks(ifname)
	if err != nil {
		return nil, err
	}
	found, err := holdersOn(h, on, ip)
	if err == nil && severalMACs(found) {
		found, err = answering(h, on, ip, found)
	}
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("%s: %w", ip, dataplane.ErrNoNeighbor)
	}
	list := make([]dataplane.Holder, 0, len(found))
	for _, f := range found {
		list = append(list, dataplane.Holder{MAC: links.ClientMAC(f.entry), Interface: f.on.Attrs().Name})
	}
	return list, nil
}

// clientLinks are the interfaces whose tables have clients, or the named one of them.
func (n *neighbors) clientLinks(ifname string) ([]netlink.Link, error) {
	now := n.state.currentLinks()
	all := now.ClientLinks(n.ifnames)
	if ifname == "" {
		return all, nil
	}
	if slices.Contains(n.ifnames, ifname) {
		return now.ClientLinks([]string{ifname}), nil
	}
	if i := slices.IndexFunc(all, func(l netlink.Link) bool { return l.Attrs().Name == ifname }); i >= 0 {
		return all[i : i+1], nil
	}
	return nil, fmt.Errorf("%q: %w (there are %s)", ifname, dataplane.ErrNoInterface, strings.Join(n.ifnames, ", "))
}

func holdersOn(h *netlink.Handle, on []netlink.Link, ip netip.Addr) (found []holder, err error) {
	for _, l := range on {
		entry, err := links.ClientAt(h, l, ip)
		if err != nil {
			return nil, err
		}
		if entry != nil {
			found = append(found, holder{on: l, entry: *entry})
		}
	}
	return found, nil
}

func severalMACs(list []holder) bool {
	return slices.ContainsFunc(list, func(f holder) bool { return links.ClientMAC(f.entry) != links.ClientMAC(list[0].entry) })
}

// answering has the kernel ask the holders of an address whether they are there (NUD_PROBE,
// a unicast request), and returns those that are; all of them when none is.
func answering(h *netlink.Handle, on []netlink.Link, ip netip.Addr, list []holder) ([]holder, error) {
	for _, f := range list {
		if f.entry.State&netlink.NUD_PERMANENT == 0 {
			ask := netlink.Neigh{
				LinkIndex: f.on.Attrs().Index, Family: f.entry.Family, IP: f.entry.IP,
				HardwareAddr: f.entry.HardwareAddr, State: netlink.NUD_PROBE,
			}
			_ = h.NeighSet(&ask) // one that cannot be asked has not answered
		}
	}
	var there []holder
	for deadline := time.Now().Add(answerWithin); time.Now().Before(deadline); time.Sleep(answerPoll) {
		now, err := holdersOn(h, on, ip)
		if err != nil {
			return nil, err
		}
		there = slices.DeleteFunc(slices.Clone(now), func(f holder) bool {
			return f.entry.State&(netlink.NUD_REACHABLE|netlink.NUD_PERMANENT) == 0
		})
		if len(there) == len(now) {
			break
		}
	}
	if len(there) == 0 {
		return list, nil
	}
	return there, nil
}
