// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
)

// Unbridge takes the customers off the bridge: each has an interface of the router's to
// itself, which has the bridge's addresses. Their gateway's MAC is then that of their port.
func (k *Kiosk) Unbridge() error {
	bridge, err := k.Router.nl.LinkByName(Bridge)
	if err != nil {
		return err
	}
	if err := k.Router.nl.LinkDel(bridge); err != nil {
		return fmt.Errorf("remove %s: %w", Bridge, err)
	}
	for i, c := range k.Customers {
		name := k.Port(i)
		if err := k.Router.configure(name, RouterLAN4+"/32", RouterLAN6+"/128"); err != nil {
			return err
		}
		port, err := k.Router.nl.LinkByName(name)
		if err != nil {
			return err
		}
		for _, addr := range []netip.Addr{c.Addr4, c.Addr6} {
			to := &net.IPNet{IP: addr.AsSlice(), Mask: net.CIDRMask(addr.BitLen(), addr.BitLen())}
			if err := k.Router.nl.RouteAdd(&netlink.Route{LinkIndex: port.Attrs().Index, Dst: to}); err != nil {
				return fmt.Errorf("route to %s by %s: %w", addr, name, err)
			}
		}
	}
	return k.awaitLinks()
}

// GatewayMAC is the MAC that customer i has its router by, counted from 0.
func (k *Kiosk) GatewayMAC(i int) (net.HardwareAddr, error) {
	name := Bridge
	if _, err := k.Router.nl.LinkByName(Bridge); err != nil {
		name = k.Port(i)
	}
	link, err := k.Router.nl.LinkByName(name)
	if err != nil {
		return nil, err
	}
	return link.Attrs().HardwareAddr, nil
}

// DefaultRoutes has the router send what it knows no way for to the server.
func (k *Kiosk) DefaultRoutes() error {
	for _, gateway := range []string{Server4, Server6} {
		if err := k.Router.nl.RouteAdd(&netlink.Route{Gw: net.ParseIP(gateway)}); err != nil {
			return fmt.Errorf("default route by %s: %w", gateway, err)
		}
	}
	return nil
}
