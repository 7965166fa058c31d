// SPDX-License-Identifier: Apache-2.0

package captive

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/hotspot-agent/hotspot-agent/cmd/hotspot-agent/internal/config"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
)

// PathOf is the path that a configuration gives phones, on the router as it is now.
func PathOf(cfg config.Config) Path {
	p := Path{Redirect: cfg.Captive.Redirect, API: cfg.CaptiveAPI, Now: time.Now, Router: addressesOf(net.InterfaceAddrs())}
	for _, name := range cfg.Interfaces {
		l, err := net.InterfaceByName(Network(name))
		if err != nil {
			continue // it need not exist yet
		}
		for _, addr := range addressesOf(l.Addrs()) {
			if !addr.IsLinkLocalUnicast() {
				p.DNS = append(p.DNS, netip.AddrPortFrom(addr, 53))
			}
		}
	}
	for _, name := range cfg.Garden.Names() {
		if _, below := name.Below(); !below {
			p.Garden = append(p.Garden, string(name))
		}
	}
	p.Admits = func(host string, at netip.AddrPort) bool {
		open := func(s dataplane.Portal) bool {
			host := s.Addr == at.Addr() || !s.Addr.IsValid() && slices.Contains(p.Router, at.Addr())
			return host && s.Port == at.Port() && s.Protocol == "tcp"
		}
		name, err := dataplane.ParseGardenName(host)
		named := func(n dataplane.GardenName) bool { return err == nil && n.Matches(name) }
		return slices.ContainsFunc(cfg.Portals, open) ||
			slices.ContainsFunc(cfg.Garden.Networks(), func(n netip.Prefix) bool { return n.Contains(at.Addr()) }) ||
			slices.Contains(cfg.Garden.Ports, at.Port()) && !p.isInside(at.Addr()) && slices.ContainsFunc(cfg.Garden.Names(), named)
	}
	return p
}

// Network is the interface that has the addresses of a client-facing one: of a bridge's port
// the bridge.
func Network(name string) string {
	if bridge, err := os.Readlink(filepath.Join("/sys/class/net", name, "master")); err == nil {
		return filepath.Base(bridge)
	}
	return name
}

func addressesOf(all []net.Addr, _ error) (addrs []netip.Addr) {
	for _, a := range all {
		if n, err := netip.ParsePrefix(a.String()); err == nil {
			addrs = append(addrs, n.Addr().Unmap())
		}
	}
	return addrs
}
