// SPDX-License-Identifier: Apache-2.0

package linux

// router keeps the router's own addresses in the kernel.
type router struct {
	maps    *pinnedMaps
	ifnames []string // client-facing
}

// sync writes the addresses of a snapshot.
func (r router) sync(now *links) error {
	addrs := make(map[hotspotAddrKey]bool)
	for _, a := range now.addrs {
		addrs[addrToWire(a)] = true
	}
	if err := r.syncAddrs(addrs); err != nil {
		return explain("the router's own addresses", err)
	}
	macs := make(map[hotspotMacKey]bool)
	own := now.routerMACs(r.ifnames)
	for _, m := range own[:min(len(own), int(r.maps.RouterMacs.MaxEntries()))] {
		macs[macToWire(m)] = true
	}
	if err := syncSet(r.maps.RouterMacs, macs); err != nil {
		return explain("the router's own MACs", err)
	}
	return nil
}

// syncAddrs changes the set of addresses, and the filter before it: at no time
// does that lack one of the set.
func (r router) syncAddrs(addrs map[hotspotAddrKey]bool) error {
	var now, want routerFilter
	if err := r.maps.RouterFilter.Lookup(uint32(0), &now); err != nil {
		return err
	}
	for a := range addrs {
		want.add(a)
	}
	for i := range now {
		now[i] |= want[i]
	}
	if err := r.maps.RouterFilter.Put(uint32(0), &now); err != nil {
		return err
	}
	if err := syncSet(r.maps.RouterAddrs, addrs); err != nil {
		return err
	}
	return r.maps.RouterFilter.Put(uint32(0), &want)
}
