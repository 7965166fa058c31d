// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"net/netip"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/bpf"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/kernel"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/links"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/pins"
)

// router keeps the router's own addresses in the kernel.
type router struct {
	maps    *pins.Maps
	ifnames []string            // client-facing
	behind  func() []netip.Addr // hosts that the firewall sends packets for the router to
}

// sync writes the addresses of a snapshot.
func (r router) sync(now *links.Snapshot) error {
	addrs := make(map[bpf.HotspotAddrKey]bool)
	for _, a := range now.Addrs {
		addrs[bpf.AddrToWire(a)] = true
	}
	for _, a := range r.behind() {
		addrs[bpf.AddrToWire(a)] = true
	}
	if err := r.syncAddrs(addrs); err != nil {
		return kernel.Explain("the router's own addresses", err)
	}
	macs := make(map[bpf.HotspotMacKey]bool)
	own := now.RouterMACs(r.ifnames)
	for _, m := range own[:min(len(own), int(r.maps.RouterMacs.MaxEntries()))] {
		macs[bpf.MACToWire(m)] = true
	}
	if err := bpf.SyncSet(r.maps.RouterMacs, macs); err != nil {
		return kernel.Explain("the router's own MACs", err)
	}
	return nil
}

// syncAddrs changes the set of addresses, and the filter before it: at no time
// does that lack one of the set.
func (r router) syncAddrs(addrs map[bpf.HotspotAddrKey]bool) error {
	var now, want bpf.RouterFilter
	if err := r.maps.RouterFilter.Lookup(uint32(0), &now); err != nil {
		return err
	}
	for a := range addrs {
		want.Add(a)
	}
	for i := range now {
		now[i] |= want[i]
	}
	if err := r.maps.RouterFilter.Put(uint32(0), &now); err != nil {
		return err
	}
	if err := bpf.SyncSet(r.maps.RouterAddrs, addrs); err != nil {
		return err
	}
	return r.maps.RouterFilter.Put(uint32(0), &want)
}
