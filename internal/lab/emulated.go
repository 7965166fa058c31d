// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
)

// EmulatedPort is the UDP port that frames of emulated customers are from and to.
const EmulatedPort = 4000

const (
	emulatedNetwork = "10.80.0.0/16"
	firstEmulated   = 256 // the number of the first emulated customer's address in it
	maxEmulated     = 1<<16 - 1 - firstEmulated
)

// EmulatedCustomer is a MAC and an address without a host: the router has a permanent
// neighbour entry, and tests generate its frames.
type EmulatedCustomer struct {
	MAC   net.HardwareAddr
	Addr4 netip.Addr
}

// EmulateCustomers adds n customers without a host, all behind the port of customer 1.
// Call it once for a kiosk.
func (k *Kiosk) EmulateCustomers(n int) ([]EmulatedCustomer, error) {
	if n < 1 || n > maxEmulated {
		return nil, fmt.Errorf("%d emulated customers, want 1 to %d", n, maxEmulated)
	}
	bridge, err := k.Router.nl.LinkByName(Bridge)
	if err != nil {
		return nil, err
	}
	_, network, err := net.ParseCIDR(emulatedNetwork)
	if err != nil {
		return nil, err
	}
	onLink := &netlink.Route{LinkIndex: bridge.Attrs().Index, Dst: network, Scope: netlink.SCOPE_LINK}
	if err := k.Router.nl.RouteAdd(onLink); err != nil {
		return nil, fmt.Errorf("route to %s by %s: %w", emulatedNetwork, Bridge, err)
	}
	emulated := make([]EmulatedCustomer, n)
	for i := range emulated {
		emulated[i] = emulatedCustomer(i)
		err := k.Router.nl.NeighSet(&netlink.Neigh{
			LinkIndex:    bridge.Attrs().Index,
			Family:       netlink.FAMILY_V4,
			State:        netlink.NUD_PERMANENT,
			IP:           emulated[i].Addr4.AsSlice(),
			HardwareAddr: emulated[i].MAC,
		})
		if err != nil {
			return nil, fmt.Errorf("neighbour %s of the router: %w", emulated[i].Addr4, err)
		}
	}
	return emulated, nil
}

func emulatedCustomer(i int) EmulatedCustomer {
	address := netip.MustParsePrefix(emulatedNetwork).Addr().As4()
	binary.BigEndian.PutUint16(address[2:], uint16(firstEmulated+i))
	return EmulatedCustomer{MAC: EmulatedMAC(i), Addr4: netip.AddrFrom4(address)}
}

// EmulatedMAC is the MAC of an emulated customer, counted from 0.
func EmulatedMAC(i int) net.HardwareAddr {
	mac := net.HardwareAddr{0x02, 0xc1, 0, 0, 0, 0}
	binary.BigEndian.PutUint32(mac[2:], uint32(i))
	return mac
}

// Up is the head of a frame with an IPv4 packet of ipBytes, UDP, from the customer to
// the server: what follows it is ipBytes - UDPOverIPv4 of any payload.
func (k *Kiosk) Up(m EmulatedCustomer, ipBytes int) []byte {
	return udpHead(k.Router.MAC, m.MAC, m.Addr4, k.Server.Addr4, ipBytes)
}

// Down is such a head from the server to the customer.
func (k *Kiosk) Down(m EmulatedCustomer, ipBytes int) []byte {
	return udpHead(mustMAC(wanMAC), k.Server.MAC, k.Server.Addr4, m.Addr4, ipBytes)
}

// udpHead has no UDP checksum, which IPv4 allows.
func udpHead(dst, src net.HardwareAddr, from, to netip.Addr, ipBytes int) []byte {
	const ipHeader, ttl, udp = 20, 64, 17
	frame := make([]byte, ethernetHeader+UDPOverIPv4)
	copy(frame, dst)
	copy(frame[6:], src)
	binary.BigEndian.PutUint16(frame[12:], 0x0800)
	ip := frame[ethernetHeader:]
	ip[0], ip[8], ip[9] = 0x45, ttl, udp
	binary.BigEndian.PutUint16(ip[2:], uint16(ipBytes))
	copy(ip[12:], from.AsSlice())
	copy(ip[16:], to.AsSlice())
	binary.BigEndian.PutUint16(ip[10:], InternetChecksum(ip[:ipHeader]))
	datagram := ip[ipHeader:]
	binary.BigEndian.PutUint16(datagram, EmulatedPort)
	binary.BigEndian.PutUint16(datagram[2:], EmulatedPort)
	binary.BigEndian.PutUint16(datagram[4:], uint16(ipBytes-ipHeader))
	return frame
}

// InternetChecksum is the checksum of RFC 1071 of bytes whose number is even.
func InternetChecksum(header []byte) uint16 {
	var sum uint32
	for i := 0; i < len(header); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(header[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
