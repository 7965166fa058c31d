// SPDX-License-Identifier: Apache-2.0

package links

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/kernel"
)

// manyChanges are cheaper to read all together than one by one.
const manyChanges = 128

// ifAddr is an address of an interface. One address may be there with several prefixes.
type ifAddr struct {
	index  int
	prefix netip.Prefix
}

// addrChange is an address that was added or removed.
type addrChange struct {
	ifAddr
	removed bool
}

// parseAddr reads the message of an address (struct ifaddrmsg, rtnetlink(7)).
func parseAddr(data []byte) (a ifAddr, err error) {
	if len(data) < unix.SizeofIfAddrmsg {
		return a, fmt.Errorf("a message of %d bytes", len(data))
	}
	msg := nl.DeserializeIfAddrmsg(data)
	attrs, err := nl.ParseRouteAttr(data[msg.Len():])
	if err != nil {
		return a, err
	}
	for _, attr := range attrs {
		// IFA_ADDRESS is the peer's where there is an IFA_LOCAL.
		own := attr.Attr.Type == unix.IFA_LOCAL || attr.Attr.Type == unix.IFA_ADDRESS && !a.prefix.IsValid()
		if ip, ok := netip.AddrFromSlice(attr.Value); ok && own {
			a.prefix = netip.PrefixFrom(ip.Unmap(), int(msg.Prefixlen))
		}
	}
	if !a.prefix.IsValid() {
		return a, fmt.Errorf("no address")
	}
	a.index = int(msg.Index)
	return a, nil
}

// Refresh returns the snapshot as of now, when c is all that happened since it was taken. A
// nil snapshot is taken whole.
func (v *Snapshot) Refresh(h *netlink.Handle, c Changes) (*Snapshot, error) {
	if v == nil || c.All || len(c.links) > manyChanges {
		return TakeSnapshot(h)
	}
	next := *v
	if len(c.links) > 0 {
		next.ByName, next.ByIndex = maps.Clone(v.ByName), maps.Clone(v.ByIndex)
		for index := range c.links {
			if err := next.read(h, index); err != nil {
				return nil, err
			}
		}
	}
	if len(c.addrs) > 0 {
		next.on = maps.Clone(v.on)
		for _, a := range c.addrs {
			next.on[a.ifAddr] = !a.removed
			if a.removed {
				delete(next.on, a.ifAddr)
			}
		}
		next.Addrs = ownAddrs(next.on)
	}
	return &next, nil
}

// read makes one interface what the kernel has of it.
func (v *Snapshot) read(h *netlink.Handle, index int) error {
	l, err := h.LinkByIndex(index)
	gone := errors.As(err, new(netlink.LinkNotFoundError)) || errors.Is(err, unix.ENODEV)
	if err != nil && !gone {
		return kernel.Explain(fmt.Sprintf("reading interface %d", index), err)
	}
	if before := v.ByIndex[index]; before != nil {
		if name := before.Attrs().Name; v.ByName[name] == before { // else another one has it by now
			delete(v.ByName, name)
		}
		delete(v.ByIndex, index)
	}
	if !gone {
		v.ByIndex[index], v.ByName[l.Attrs().Name] = l, l
	}
	return nil
}

// ownAddrs are the addresses, each once, without loopback ones.
func ownAddrs(on map[ifAddr]bool) []netip.Addr {
	var list []netip.Addr
	for a := range on {
		if ip := a.prefix.Addr(); !ip.IsLoopback() {
			list = append(list, ip)
		}
	}
	slices.SortFunc(list, netip.Addr.Compare)
	return slices.Compact(list)
}

// SameAddresses reports whether the router has the addresses, MACs and VLANs of before, on
// interfaces that have the same names and are stacked in the same way.
func (v *Snapshot) SameAddresses(before *Snapshot) bool {
	if before == nil || len(v.ByIndex) != len(before.ByIndex) || !slices.Equal(v.Addrs, before.Addrs) {
		return false
	}
	for index, l := range v.ByIndex {
		was := before.ByIndex[index]
		if was == nil || was != l && !sameAddress(was, l) {
			return false
		}
	}
	return true
}

func sameAddress(was, is netlink.Link) bool {
	a, b := was.Attrs(), is.Attrs()
	same := was.Type() == is.Type() && a.Name == b.Name && slices.Equal(a.HardwareAddr, b.HardwareAddr) &&
		a.MasterIndex == b.MasterIndex && a.ParentIndex == b.ParentIndex && a.NetNsID == b.NetNsID
	if vlan, ok := was.(*netlink.Vlan); ok && same {
		now := is.(*netlink.Vlan)
		return vlan.VlanId == now.VlanId && vlan.VlanProtocol == now.VlanProtocol
	}
	return same
}
