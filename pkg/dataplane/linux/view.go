// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"errors"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
)

// view is the interfaces and addresses of the namespace at one moment. Immutable.
type view struct {
	byName  map[string]netlink.Link
	byIndex map[int]netlink.Link
	addrs   []netip.Addr // the router's own, loopback ones left out
}

func newView(nl *netlink.Handle) (*view, error) {
	v := &view{byName: make(map[string]netlink.Link), byIndex: make(map[int]netlink.Link)}
	var links []netlink.Link
	err := dump(func() (err error) {
		links, err = nl.LinkList()
		return err
	})
	if err != nil {
		return nil, explain("listing interfaces", err)
	}
	for _, l := range links {
		v.byName[l.Attrs().Name] = l
		v.byIndex[l.Attrs().Index] = l
	}
	var addrs []netlink.Addr
	err = dump(func() (err error) {
		addrs, err = nl.AddrList(nil, netlink.FAMILY_ALL)
		return err
	})
	if err != nil {
		return nil, explain("listing addresses", err)
	}
	for _, a := range addrs {
		if ip, ok := netip.AddrFromSlice(a.IP); ok && !ip.IsLoopback() {
			v.addrs = append(v.addrs, ip.Unmap())
		}
	}
	return v, nil
}

// bridge returns the bridge that an interface is a port of, or nil.
func (v *view) bridge(l netlink.Link) netlink.Link {
	master := v.byIndex[l.Attrs().MasterIndex]
	if master == nil || master.Type() != "bridge" {
		return nil
	}
	return master
}

// clientLinks are the named interfaces that exist and, of bridge ports, the
// bridge: where clients' neighbour entries are.
func (v *view) clientLinks(ifnames []string) []netlink.Link {
	var list []netlink.Link
	seen := make(map[int]bool)
	add := func(l netlink.Link) {
		if l != nil && !seen[l.Attrs().Index] {
			seen[l.Attrs().Index] = true
			list = append(list, l)
		}
	}
	for _, name := range ifnames {
		if l := v.byName[name]; l != nil {
			add(l)
			add(v.bridge(l))
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

// dump repeats a netlink dump that a change of the table interrupted. On a table
// that never rests the last, possibly incomplete, answer is taken: the change
// that interrupted it notifies the watcher, which looks again.
func dump(list func() error) error {
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
