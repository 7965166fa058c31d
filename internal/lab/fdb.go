// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"fmt"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// FDBEntries is how many MACs the router's bridge has learned from frames.
func (k *Kiosk) FDBEntries() (int, error) {
	bridge, err := k.Router.nl.LinkByName(Bridge)
	if err != nil {
		return 0, err
	}
	entries, err := k.Router.nl.NeighList(0, unix.AF_BRIDGE)
	if err != nil {
		return 0, fmt.Errorf("MACs that %s has learned: %w", Bridge, err)
	}
	learned := 0
	for _, e := range entries {
		if e.MasterIndex == bridge.Attrs().Index && e.State&unix.NUD_PERMANENT == 0 {
			learned++
		}
	}
	return learned, nil
}

// Neighbors is how many addresses the router keeps the MACs of.
func (k *Kiosk) Neighbors() (int, error) {
	all := 0
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		entries, err := k.Router.nl.NeighList(0, family)
		if err != nil {
			return 0, fmt.Errorf("neighbours of the router: %w", err)
		}
		all += len(entries)
	}
	return all, nil
}

// iflaBridgeLearnMost is IFLA_BR_FDB_MAX_LEARNED.
const iflaBridgeLearnMost = 49

// LimitFDB bounds how many MACs the router's bridge learns. Linux before 6.8 ignores it.
func (k *Kiosk) LimitFDB(macs int) error {
	bridge, err := k.Router.nl.LinkByName(Bridge)
	if err != nil {
		return err
	}
	header := nl.NewIfInfomsg(unix.AF_UNSPEC)
	header.Index = int32(bridge.Attrs().Index)
	info := nl.NewRtAttr(unix.IFLA_LINKINFO, nil)
	info.AddRtAttr(nl.IFLA_INFO_KIND, nl.NonZeroTerminated("bridge"))
	info.AddRtAttr(nl.IFLA_INFO_DATA, nil).AddRtAttr(iflaBridgeLearnMost, nl.Uint32Attr(uint32(macs)))
	return k.Router.Do(func() error {
		request := nl.NewNetlinkRequest(unix.RTM_NEWLINK, unix.NLM_F_ACK)
		request.AddData(header)
		request.AddData(info)
		_, err := request.Execute(unix.NETLINK_ROUTE, 0)
		return err
	})
}
