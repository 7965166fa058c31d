// SPDX-License-Identifier: Apache-2.0

package forwarding

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/links"
)

// unnoticed is after how many looks everything is checked although nothing is known to have
// changed.
const unnoticed = 30

// Changes says whether Check may find something else than the last time, and costs next to
// nothing when it does not. The kernel notifies of routes, forwarding, filters and the
// firewall; the settings of br_netfilter it does not, and they are read. Not safe for
// concurrent use.
type Changes struct {
	flags   []*links.Flag
	bridged []bridgeSetting
	seen    *links.Snapshot
	looks   int // since something changed
}

// WatchChanges begins to watch the namespace of s.
func WatchChanges(s *links.NetNS) (*Changes, error) {
	c := &Changes{}
	for _, f := range families {
		c.bridged = append(c.bridged, bridgeSetting{ns: s, path: "/proc/sys/net/bridge/" + f.bridged})
	}
	routes, err := links.NewFlag(s, unix.NETLINK_ROUTE, unix.RTNLGRP_TC,
		unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_IPV4_RULE, unix.RTNLGRP_IPV6_RULE, unix.RTNLGRP_NEXTHOP,
		unix.RTNLGRP_IPV4_NETCONF, unix.RTNLGRP_IPV6_NETCONF)
	if err != nil {
		return nil, err
	}
	c.flags = append(c.flags, routes)
	firewall, err := links.NewFlag(s, unix.NETLINK_NETFILTER, unix.NFNLGRP_NFTABLES)
	if errors.Is(err, unix.EPROTONOSUPPORT) {
		return c, nil // no nf_tables: no rules
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	c.flags = append(c.flags, firewall)
	return c, nil
}

// Any reports whether anything may have changed since the last call, the links included.
func (c *Changes) Any(v *links.Snapshot) bool {
	c.looks++
	some := v != c.seen || c.looks >= unnoticed
	for _, f := range c.flags {
		some = f.Raised() || some
	}
	for i := range c.bridged {
		some = c.bridged[i].changed() || some
	}
	if some {
		c.looks, c.seen = 0, v
	}
	return some
}

// Close ends the watch. It may be called again.
func (c *Changes) Close() {
	for _, f := range c.flags {
		f.Close()
	}
	for i := range c.bridged {
		c.bridged[i].close()
	}
}

// bridgeSetting is a setting that is there while br_netfilter is loaded. Its file stays
// open: to find it costs ten times as much as to read it.
type bridgeSetting struct {
	ns    *links.NetNS
	path  string
	fd    int     // 0: not open
	value [1]byte // 0: not there
	next  [1]byte
}

// changed reads it, and reports whether it has another value.
func (s *bridgeSetting) changed() bool {
	s.next[0] = 0
	if s.open() {
		if n, err := unix.Pread(s.fd, s.next[:], 0); err != nil || n == 0 {
			s.close() // the module went, and may come back
		}
	}
	changed := s.next != s.value
	s.value = s.next
	return changed
}

func (s *bridgeSetting) open() bool {
	if s.fd == 0 {
		_ = s.ns.Run(func() error {
			if fd, err := unix.Open(s.path, unix.O_RDONLY|unix.O_CLOEXEC, 0); err == nil {
				s.fd = fd
			}
			return nil
		})
	}
	return s.fd != 0
}

func (s *bridgeSetting) close() {
	if s.fd != 0 {
		_ = unix.Close(s.fd)
		s.fd = 0
	}
}
