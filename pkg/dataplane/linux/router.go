// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"encoding/binary"
	"maps"
	"slices"

	"github.com/vishvananda/netlink"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
)

// look takes a new view and makes the router's own addresses in the kernel those of it.
func (d *Dataplane) look() error {
	v, err := newView(d.nl)
	if err != nil {
		return err
	}
	d.seen.Lock()
	defer d.seen.Unlock()
	d.seen.view = v
	return d.syncRouter(v)
}

func (d *Dataplane) syncRouter(v *view) error {
	addrs := make(map[hotspotAddrKey]bool)
	for _, a := range v.addrs {
		addrs[addrToWire(a)] = true
	}
	if err := d.syncRouterAddrs(addrs); err != nil {
		return explain("the router's own addresses", err)
	}
	macs := make(map[hotspotMacKey]bool)
	own := v.routerMACs(d.opts.Interfaces)
	for _, m := range own[:min(len(own), int(d.state.RouterMacs.MaxEntries()))] {
		macs[macToWire(m)] = true
	}
	if err := syncSet(d.state.RouterMacs, macs); err != nil {
		return explain("the router's own MACs", err)
	}
	return nil
}

// syncRouterAddrs changes the set of addresses, and the filter before it: at no time
// does that lack one of the set.
func (d *Dataplane) syncRouterAddrs(addrs map[hotspotAddrKey]bool) error {
	var now, want routerFilter
	if err := d.state.RouterFilter.Lookup(uint32(0), &now); err != nil {
		return err
	}
	for a := range addrs {
		want.add(a)
	}
	for i := range now {
		now[i] |= want[i]
	}
	if err := d.state.RouterFilter.Put(uint32(0), &now); err != nil {
		return err
	}
	if err := syncSet(d.state.RouterAddrs, addrs); err != nil {
		return err
	}
	return d.state.RouterFilter.Put(uint32(0), &want)
}

// routerFilter is a Bloom filter of addresses, with one hash (bpf/router.h).
type routerFilter [hotspotAbiABI_FILTER_BITS / 64]uint64

// filterMultiplier is ABI_FILTER_MULTIPLIER of bpf/abi.h.
const filterMultiplier = 0x61c8864680b583eb

func (f *routerFilter) add(a hotspotAddrKey) {
	bit := routerBit(a)
	f[bit/64] |= 1 << (bit % 64)
}

func routerBit(a hotspotAddrKey) uint64 {
	high, low := binary.NativeEndian.Uint64(a.Addr[:8]), binary.NativeEndian.Uint64(a.Addr[8:])
	return (high ^ low) * filterMultiplier >> (64 - hotspotAbiABI_FILTER_ORDER)
}

// routerMACs are the addresses on which the router takes frames: those of all of
// its interfaces, as a bridge answers for each of its ports, and what is stacked
// on one (VLANs, macvlans) may have an address of its own. The client-facing
// interfaces and their bridges come first.
func (v *view) routerMACs(ifnames []string) []dataplane.MAC {
	macs := uniqueMACs(v.clientLinks(ifnames))
	for _, index := range slices.Sorted(maps.Keys(v.byIndex)) {
		macs = append(macs, uniqueMACs([]netlink.Link{v.byIndex[index]}, macs...)...)
	}
	return macs
}

// uniqueMACs are the Ethernet addresses of links that are not in known.
func uniqueMACs(links []netlink.Link, known ...dataplane.MAC) []dataplane.MAC {
	var macs []dataplane.MAC
	for _, l := range links {
		m := macOf(l)
		if m.CheckClient() == nil && !slices.Contains(known, m) && !slices.Contains(macs, m) {
			macs = append(macs, m)
		}
	}
	return macs
}

// RouterMACs returns the addresses of the client-facing interfaces and of their
// bridges: no customer's.
func (d *Dataplane) RouterMACs() []dataplane.MAC {
	return uniqueMACs(d.currentView().clientLinks(d.opts.Interfaces))
}

func (d *Dataplane) currentView() *view {
	d.seen.Lock()
	defer d.seen.Unlock()
	return d.seen.view
}
