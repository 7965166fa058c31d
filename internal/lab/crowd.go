// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
)

const (
	crowdGateway = "10.80.0.1" // of br-lan
	crowdBits    = 16
	crowdFirst   = 256 // the number of the first member's address in the crowd's network
	maxCrowd     = 1<<16 - 1 - crowdFirst
)

// Member is one customer of a crowd: no host, but a MAC and an address that the
// router knows, and that frames can be made for.
type Member struct {
	MAC   net.HardwareAddr
	Addr4 netip.Addr
}

// Crowd has the router know n more customers, all behind the port of customer 1.
// A kiosk has one crowd at most.
func (k *Kiosk) Crowd(n int) ([]Member, error) {
	if n < 1 || n > maxCrowd {
		return nil, fmt.Errorf("a crowd of %d, want 1 to %d", n, maxCrowd)
	}
	bridge, err := k.Router.nl.LinkByName(Bridge)
	if err != nil {
		return nil, err
	}
	if err := k.Router.configure(Bridge, fmt.Sprintf("%s/%d", crowdGateway, crowdBits)); err != nil {
		return nil, err
	}
	crowd := make([]Member, n)
	for i := range crowd {
		crowd[i] = member(i)
		err := k.Router.nl.NeighSet(&netlink.Neigh{
			LinkIndex:    bridge.Attrs().Index,
			Family:       netlink.FAMILY_V4,
			State:        netlink.NUD_PERMANENT,
			IP:           crowd[i].Addr4.AsSlice(),
			HardwareAddr: crowd[i].MAC,
		})
		if err != nil {
			return nil, fmt.Errorf("neighbour %s of the router: %w", crowd[i].Addr4, err)
		}
	}
	return crowd, nil
}

func member(i int) Member {
	network := netip.MustParseAddr(crowdGateway).As4()
	binary.BigEndian.PutUint16(network[2:], uint16(crowdFirst+i))
	mac := net.HardwareAddr{0x02, 0xc1, 0, 0, 0, 0}
	binary.BigEndian.PutUint32(mac[2:], uint32(i))
	return Member{MAC: mac, Addr4: netip.AddrFrom4(network)}
}

// Up is a frame with an IPv4 packet of ipBytes, UDP, from the member to the server.
func (k *Kiosk) Up(m Member, ipBytes int) []byte {
	return udpFrame(k.Router.MAC, m.MAC, m.Addr4, k.Server.Addr4, ipBytes)
}

// Down is a frame with an IPv4 packet of ipBytes, UDP, from the server to the member.
func (k *Kiosk) Down(m Member, ipBytes int) []byte {
	return udpFrame(mustMAC(wanMAC), k.Server.MAC, k.Server.Addr4, m.Addr4, ipBytes)
}

// udpFrame has no UDP checksum, which IPv4 allows.
func udpFrame(dst, src net.HardwareAddr, from, to netip.Addr, ipBytes int) []byte {
	const ipHeader, ttl, udp = 20, 64, 17
	frame := make([]byte, ethernetHeader+ipBytes)
	copy(frame, dst)
	copy(frame[6:], src)
	binary.BigEndian.PutUint16(frame[12:], 0x0800)
	ip := frame[ethernetHeader:]
	ip[0], ip[8], ip[9] = 0x45, ttl, udp
	binary.BigEndian.PutUint16(ip[2:], uint16(ipBytes))
	copy(ip[12:], from.AsSlice())
	copy(ip[16:], to.AsSlice())
	binary.BigEndian.PutUint16(ip[10:], internetChecksum(ip[:ipHeader]))
	datagram := ip[ipHeader:]
	binary.BigEndian.PutUint16(datagram, 4000)
	binary.BigEndian.PutUint16(datagram[2:], 4000)
	binary.BigEndian.PutUint16(datagram[4:], uint16(len(datagram)))
	return frame
}

func internetChecksum(header []byte) uint16 {
	var sum uint32
	for i := 0; i < len(header); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(header[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
