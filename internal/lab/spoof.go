// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/vishvananda/netlink"
)

// SpoofIPs makes customer 1 use the addresses of emulated customers over TCP and UDP, and
// receive what is addressed to their MACs. It sends from its own MAC.
func (k *Kiosk) SpoofIPs(customers []EmulatedCustomer) error {
	const script = `table netdev spoof {
  chain input {
    type filter hook ingress device "` + Uplink + `" priority 10; policy accept;
    meta pkttype other meta pkttype set host
  }
}
`
	c := k.Customers[0]
	if err := c.nft(script); err != nil {
		return err
	}
	link, err := c.nl.LinkByName(Uplink)
	if err != nil {
		return err
	}
	for _, m := range customers {
		ip := &net.IPNet{IP: m.Addr4.AsSlice(), Mask: net.CIDRMask(32, 32)}
		if err := c.nl.AddrAdd(link, &netlink.Addr{IPNet: ip}); err != nil {
			return fmt.Errorf("add %s to %s: %w", m.Addr4, c.Name, err)
		}
	}
	return nil
}

// DialAs connects to a TCP address from the address of an emulated customer that
// SpoofIPs was called with.
func (k *Kiosk) DialAs(ctx context.Context, m EmulatedCustomer, address string) (conn net.Conn, err error) {
	dialer := net.Dialer{Timeout: 5 * time.Second, LocalAddr: &net.TCPAddr{IP: m.Addr4.AsSlice()}}
	dialer.SetMultipathTCP(false)
	err = k.Customers[0].Do(func() error {
		conn, err = dialer.DialContext(ctx, "tcp", address)
		return err
	})
	return conn, err
}

// SpoofMAC sets the MAC of an end host, which keeps its addresses.
func (h *Host) SpoofMAC(mac net.HardwareAddr) error {
	link, err := h.nl.LinkByName(Uplink)
	if err != nil {
		return fmt.Errorf("%s of %s: %w", Uplink, h.Name, err)
	}
	if err := h.nl.LinkSetHardwareAddr(link, mac); err != nil {
		return fmt.Errorf("give %s of %s the MAC %s: %w", Uplink, h.Name, mac, err)
	}
	return nil
}
