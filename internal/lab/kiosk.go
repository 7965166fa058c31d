// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/vishvananda/netlink"
)

// The names and addresses of a kiosk.
const (
	Bridge       = "br-lan"            // the router's client-facing interface
	WAN          = "wan0"              // the router's interface to the internet
	Uplink       = "eth0"              // the only interface of a customer and of the server
	RouterLAN4   = "10.77.0.1"         // /24
	RouterLAN6   = "fd77::1"           // /64
	RouterWAN4   = "203.0.113.1"       // /24
	RouterWAN6   = "2001:db8:113::1"   // /64
	Server4      = "203.0.113.2"       // the internet server
	Server6      = "2001:db8:113::2"   // the internet server
	bridgeMAC    = "02:77:00:00:00:01" // of br-lan
	wanMAC       = "02:71:00:00:00:01" // of wan0
	serverMAC    = "02:71:00:00:00:02" // of the server
	maxCustomers = 200
)

// Offloads says where super-packets (TSO, GSO) travel in a kiosk.
type Offloads int

// The ways to set offloads.
const (
	// OffloadsOn leaves the kernel's defaults: super-packets travel all the way.
	OffloadsOn Offloads = iota
	// OffloadsInside has the router see super-packets, and cut them into segments
	// as they leave it: what arrives at the far end is what a wire carries.
	OffloadsInside
	// OffloadsOff has every packet travel by itself.
	OffloadsOff
)

// KioskConfig describes a kiosk.
type KioskConfig struct {
	Customers int // how many; at least one
	Offloads  Offloads
	// Delay is how long a packet takes between router and server, each way. 0 is a
	// cable; else it is a DelayLine.
	Delay time.Duration
}

// Kiosk is a hotspot: customers on a bridge of the router, which forwards IPv4
// and IPv6 to one server on the internet, without address translation.
//
//	customer1 eth0 ---- lan1 \
//	customer2 eth0 ---- lan2 - br-lan router wan0 ---- eth0 server
type Kiosk struct {
	*Lab
	Router    *Host
	Server    *Host
	Customers []*Host

	delay *DelayLine // between router and server, or nil
}

// Kiosk builds the topology. On error the caller closes the lab.
func (l *Lab) Kiosk(config KioskConfig) (*Kiosk, error) {
	if config.Customers < 1 || config.Customers > maxCustomers {
		return nil, fmt.Errorf("customers = %d, want 1 to %d", config.Customers, maxCustomers)
	}
	k := &Kiosk{Lab: l}
	for _, step := range []func() error{
		k.addRouter,
		func() error { return k.addServer(config.Delay) },
		func() error { return k.addCustomers(config.Customers) },
		func() error { return k.setOffloads(config.Offloads) },
		k.awaitLinks,
	} {
		if err := step(); err != nil {
			return nil, fmt.Errorf("build the kiosk: %w", err)
		}
	}
	return k, nil
}

// awaitLinks waits until every interface carries packets: for up to a second after
// it was set up, the kernel drops them.
func (k *Kiosk) awaitLinks() error {
	const patience, look = 10 * time.Second, time.Millisecond
	deadline := time.Now().Add(patience)
	for _, h := range append([]*Host{k.Router, k.Server}, k.Customers...) {
		for {
			down, err := h.linkDown()
			if err != nil {
				return err
			}
			if down == "" {
				break
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("%s of %s is not up after %s", down, h.Name, patience)
			}
			time.Sleep(look)
		}
	}
	return nil
}

// linkDown names an interface that is not up.
func (h *Host) linkDown() (string, error) {
	links, err := h.nl.LinkList()
	if err != nil {
		return "", fmt.Errorf("interfaces of %s: %w", h.Name, err)
	}
	for _, link := range links {
		managed := link.Type() == "veth" || link.Type() == "bridge"
		if managed && link.Attrs().OperState != netlink.OperUp {
			return link.Attrs().Name, nil
		}
	}
	return "", nil
}

// Port is the router's interface towards customer i, counted from 0.
func (k *Kiosk) Port(i int) string { return fmt.Sprintf("lan%d", i+1) }

func (k *Kiosk) addRouter() (err error) {
	if k.Router, err = k.AddHost("router"); err != nil {
		return err
	}
	r := k.Router
	if err := r.Sysctl("net/ipv4/ip_forward=1", "net/ipv6/conf/all/forwarding=1"); err != nil {
		return err
	}
	noSnooping := false
	attrs := netlink.NewLinkAttrs()
	attrs.Name = Bridge
	attrs.HardwareAddr = mustMAC(bridgeMAC)
	bridge := &netlink.Bridge{LinkAttrs: attrs, MulticastSnooping: &noSnooping}
	if err := r.nl.LinkAdd(bridge); err != nil {
		return fmt.Errorf("add %s: %w", Bridge, err)
	}
	r.Addr4, r.Addr6, r.MAC = netip.MustParseAddr(RouterLAN4), netip.MustParseAddr(RouterLAN6), attrs.HardwareAddr
	if err := r.configure(Bridge, RouterLAN4+"/24", RouterLAN6+"/64"); err != nil {
		return err
	}
	return r.bridgeWithoutNetfilter()
}

// bridgeWithoutNetfilter keeps bridged frames away from the IP chains of nft,
// where the kernel has br_netfilter.
func (h *Host) bridgeWithoutNetfilter() error {
	return h.Do(func() error {
		for _, family := range []string{"ip", "ip6"} {
			file := "/proc/sys/net/bridge/bridge-nf-call-" + family + "tables"
			err := os.WriteFile(file, []byte("0"), 0)
			if err != nil && !os.IsNotExist(err) {
				return err
			}
		}
		return nil
	})
}

func (k *Kiosk) addServer(delay time.Duration) (err error) {
	if k.Server, err = k.AddHost("server"); err != nil {
		return err
	}
	if delay > 0 {
		err = k.delayed(delay)
	} else {
		err = k.Router.cable(WAN, wanMAC, k.Server, serverMAC)
	}
	if err != nil {
		return err
	}
	if err := k.Router.configure(WAN, RouterWAN4+"/24", RouterWAN6+"/64"); err != nil {
		return err
	}
	return k.Server.join(Server4+"/24", Server6+"/64", RouterWAN4, RouterWAN6)
}

func (k *Kiosk) addCustomers(n int) error {
	bridge, err := k.Router.nl.LinkByName(Bridge)
	if err != nil {
		return err
	}
	for i := range n {
		c, err := k.AddHost(fmt.Sprintf("customer%d", i+1))
		if err != nil {
			return err
		}
		if err := k.Router.cable(k.Port(i), fmt.Sprintf("02:77:00:00:01:%02x", i+1), c, fmt.Sprintf("02:c0:00:00:00:%02x", i+1)); err != nil {
			return err
		}
		port, err := k.Router.nl.LinkByName(k.Port(i))
		if err != nil {
			return err
		}
		if err := k.Router.nl.LinkSetMaster(port, bridge); err != nil {
			return err
		}
		if err := k.Router.configure(k.Port(i)); err != nil {
			return err
		}
		if err := c.join(fmt.Sprintf("10.77.0.%d/24", 11+i), fmt.Sprintf("fd77::%x/64", 0x11+i), RouterLAN4, RouterLAN6); err != nil {
			return err
		}
		k.Customers = append(k.Customers, c)
	}
	return nil
}

// cable adds a veth pair: name on h, Uplink on the peer.
func (h *Host) cable(name, mac string, peer *Host, peerMAC string) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	attrs.HardwareAddr = mustMAC(mac)
	peer.MAC = mustMAC(peerMAC)
	err := h.nl.LinkAdd(&netlink.Veth{
		LinkAttrs:        attrs,
		PeerName:         Uplink,
		PeerHardwareAddr: peer.MAC,
		PeerNamespace:    netlink.NsFd(peer.ns),
	})
	if err != nil {
		return fmt.Errorf("add the pair %s, %s of %s: %w", name, Uplink, peer.Name, err)
	}
	return nil
}

// join configures the one interface of an end host and its default routes.
func (h *Host) join(addr4, addr6, gateway4, gateway6 string) error {
	h.Addr4 = netip.MustParsePrefix(addr4).Addr()
	h.Addr6 = netip.MustParsePrefix(addr6).Addr()
	if err := h.configure(Uplink, addr4, addr6); err != nil {
		return err
	}
	for _, gateway := range []string{gateway4, gateway6} {
		if err := h.nl.RouteAdd(&netlink.Route{Gw: net.ParseIP(gateway)}); err != nil {
			return fmt.Errorf("default route of %s by %s: %w", h.Name, gateway, err)
		}
	}
	return nil
}

// configure gives an interface its addresses and sets it up.
func (h *Host) configure(name string, addrs ...string) error {
	link, err := h.nl.LinkByName(name)
	if err != nil {
		return fmt.Errorf("%s of %s: %w", name, h.Name, err)
	}
	for _, a := range addrs {
		addr, err := netlink.ParseAddr(a)
		if err != nil {
			return err
		}
		if err := h.nl.AddrAdd(link, addr); err != nil {
			return fmt.Errorf("add %s to %s of %s: %w", a, name, h.Name, err)
		}
	}
	return h.nl.LinkSetUp(link)
}

func mustMAC(s string) net.HardwareAddr {
	mac, err := net.ParseMAC(s)
	if err != nil {
		panic(err) // a constant of this package
	}
	return mac
}
