// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/vishvananda/netlink"
)

// Guise lets customer 1 speak for members of the crowd over TCP and UDP: its host
// takes their addresses, and what is for their MACs, too. It sends from its own MAC.
func (k *Kiosk) Guise(members []Member) error {
	const script = `table netdev guise {
  chain look {
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
	for _, m := range members {
		ip := &net.IPNet{IP: m.Addr4.AsSlice(), Mask: net.CIDRMask(32, 32)}
		if err := c.nl.AddrAdd(link, &netlink.Addr{IPNet: ip}); err != nil {
			return fmt.Errorf("add %s to %s: %w", m.Addr4, c.Name, err)
		}
	}
	return nil
}

// DialAs connects to a TCP address as a member that the customer is in the guise of.
func (k *Kiosk) DialAs(ctx context.Context, m Member, address string) (conn net.Conn, err error) {
	dialer := net.Dialer{Timeout: 5 * time.Second, LocalAddr: &net.TCPAddr{IP: m.Addr4.AsSlice()}}
	dialer.SetMultipathTCP(false)
	err = k.Customers[0].Do(func() error {
		conn, err = dialer.DialContext(ctx, "tcp", address)
		return err
	})
	return conn, err
}
