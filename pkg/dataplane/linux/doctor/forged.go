// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"fmt"
	"path/filepath"

	"github.com/vishvananda/netlink"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/links"
)

// strictSource is the rp_filter with which only an address that the router would answer
// by the same interface is believed. Loose, which is 2, takes all that there is a route
// to: by a default route any.
const strictSource = 1

// checkForged judges whether the router answers to what a device that has not paid sends
// under another address. The programs cannot see it: it may be a packet to the portal like any.
func checkForged(s *links.NetNS, l netlink.Link) Finding {
	name := l.Attrs().Name
	check := "forged addresses " + name
	var all, own uint64
	err := s.Run(func() (err error) {
		if all, err = sourceFilter("all"); err == nil {
			own, err = sourceFilter(name)
		}
		return err
	})
	if err != nil {
		return Finding{check, Warn, "not readable: " + err.Error(), "sysctl net.ipv4.conf." + name + ".rp_filter"}
	}
	if max(all, own) == strictSource { // the kernel goes by the larger one
		return Finding{check, OK, "IPv4 packets from addresses of elsewhere are dropped (rp_filter 1)", ""}
	}
	advice := fmt.Sprintf("sysctl -w net/ipv4/conf/%s/rp_filter=%d", name, strictSource)
	if all > strictSource {
		advice += " net/ipv4/conf/all/rp_filter=1 (or 0): the larger of both counts"
	}
	return Finding{check, Warn, fmt.Sprintf("rp_filter is %d, and %d for all: a device that has not paid can have the router answer to any IPv4 address", own, all), advice}
}

// sourceFilter reads the rp_filter of an interface in the thread's namespace.
func sourceFilter(ifname string) (uint64, error) {
	return numberIn(filepath.Join("/proc/sys/net/ipv4/conf", ifname, "rp_filter"))
}
