// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/bpf"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/kernel"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/links"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/pins"
)

// router keeps what is the router's own in the kernel: addresses, MACs and VLANs.
type router struct {
	maps    *pins.Maps
	ifnames []string            // client-facing
	behind  func() []netip.Addr // hosts that the firewall sends packets for the router to
	log     *slog.Logger

	vlans string // that were logged last
}

// sync writes what a snapshot has. Problems are of what does not fit, so that the programs
// are stricter than need be.
func (r *router) sync(now *links.Snapshot) (found []dataplane.Problem, err error) {
	addrs := make(map[bpf.HotspotAddrKey]bool)
	for _, a := range now.Addrs {
		addrs[bpf.AddrToWire(a)] = true
	}
	for _, a := range r.behind() {
		addrs[bpf.AddrToWire(a)] = true
	}
	if err := r.syncAddrs(addrs); err != nil {
		return nil, kernel.Explain("the router's own addresses", err)
	}
	if err := r.syncVLANs(now.OtherVLANs(r.ifnames)); err != nil {
		return nil, kernel.Explain("the router's own VLANs", err)
	}
	lacks, err := r.syncMACs(now.RouterMACs(r.ifnames))
	if err != nil {
		return nil, kernel.Explain("the router's own MACs", err)
	}
	if lacks > 0 && r.onPorts(now) {
		found = append(found, dataplane.Problem{Code: dataplane.RouterMACsFull, Exposed: true, Detail: fmt.Sprintf(
			"%d MACs of the router have no room in the kernel's table of %d: on bridge ports, frames between customers are "+
				"dropped or debited as if they were for the router; name the bridge instead of its ports", lacks, r.maps.RouterMacs.MaxEntries())})
	}
	return found, nil
}

// syncAddrs changes the set of addresses, and the filter before it: at no time
// does that lack one of the set.
func (r *router) syncAddrs(addrs map[bpf.HotspotAddrKey]bool) error {
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

// onPorts reports whether a client-facing interface is a port of a bridge.
func (r *router) onPorts(now *links.Snapshot) bool {
	return slices.ContainsFunc(r.ifnames, func(name string) bool {
		l := now.ByName[name]
		return l != nil && now.Bridge(l) != nil
	})
}

// syncMACs changes the set of MACs, and returns how many have no room. The programs on ports
// know of that before one is left out: no frame is bridged to them any more.
func (r *router) syncMACs(own []dataplane.MAC) (lacks int, err error) {
	full := uint32(0)
	if lacks = len(own) - int(r.maps.RouterMacs.MaxEntries()); lacks > 0 {
		full, own = 1, own[:len(own)-lacks]
	}
	macs := make(map[bpf.HotspotMacKey]bool)
	for _, m := range own {
		macs[bpf.MACToWire(m)] = true
	}
	if full != 0 {
		if err := r.maps.RouterMacsFull.Put(uint32(0), full); err != nil {
			return lacks, err
		}
	}
	if err := bpf.SyncSet(r.maps.RouterMacs, macs); err != nil {
		return lacks, err
	}
	return lacks, r.maps.RouterMacsFull.Put(uint32(0), full)
}

// syncVLANs changes the set of VLANs whose frames are not judged on a client-facing
// interface, and logs it: where customers are behind one, it is to be named.
func (r *router) syncVLANs(others []links.VLAN) error {
	keys := make(map[bpf.HotspotVlanKey]bool)
	var names []string
	for _, v := range others {
		keys[bpf.VLANToWire(v.On.Attrs().Index, v.Protocol, v.ID)] = true
		names = append(names, v.Name+" on "+v.On.Attrs().Name)
	}
	if list := strings.Join(names, ", "); list != r.vlans {
		r.vlans = list
		r.log.Info("VLAN devices that are not named in interfaces: their tagged frames pass unmetered", "vlans", list)
	}
	return bpf.SyncSet(r.maps.RouterVlans, keys)
}
