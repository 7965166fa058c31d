// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"encoding/binary"
	"net"
	"time"

	"github.com/hotspot-agent/hotspot-agent/internal/lab"
)

const (
	callers = 16 // clients that use the socket at the same time
	buyers  = 64 // those of a shop that sells to a population: each purchase waits for the disk
)

// population is customers beside the real one: devices with a session each, whose packets
// are put on the real one's link.
type population struct {
	fixture *fixture
	size    int
}

// buy makes the population grow, and returns purchases a second.
func (c *population) buy(ctx context.Context, to, callers int) (float64, error) {
	began, from := time.Now(), c.size
	err := each(ctx, from, to, callers, func(ctx context.Context, n int) error {
		return c.fixture.api.buy(ctx, plenty(mac(n)))
	})
	c.size = to
	return float64(to-from) / time.Since(began).Seconds(), err
}

// connect connects customers, and returns how many a second.
func (c *population) connect(ctx context.Context, from, to int) (float64, error) {
	return c.perSecond(ctx, from, to, c.fixture.api.connect)
}

func (c *population) disconnect(ctx context.Context, from, to int) (float64, error) {
	return c.perSecond(ctx, from, to, c.fixture.api.disconnect)
}

func (c *population) perSecond(ctx context.Context, from, to int, do func(context.Context, string) error) (float64, error) {
	began := time.Now()
	err := each(ctx, from, to, callers, func(ctx context.Context, n int) error { return do(ctx, mac(n)) })
	return float64(to-from) / time.Since(began).Seconds(), err
}

// speak has each of the first n customers send one packet to the internet.
func (c *population) speak(n int) error {
	const atOnce = 10_000
	customer := c.fixture.kiosk.Customers[0]
	for from := 0; from < n; from += atOnce {
		var frames [][]byte
		for i := from; i < min(from+atOnce, n); i++ {
			frames = append(frames, packet(mac(i), c.fixture.kiosk.Router.MAC, customer, c.fixture.kiosk.Server))
		}
		if err := customer.SendFrames(lab.Uplink, frames...); err != nil {
			return err
		}
	}
	return nil
}

// packet is a small UDP packet over IPv4 from a MAC by way of the router.
func packet(from string, router net.HardwareAddr, source, server *lab.Host) []byte {
	const ethernet, ip, udp, payload = 14, 20, 8, 18
	mac, err := net.ParseMAC(from)
	if err != nil {
		panic(err) // made by this package
	}
	b := make([]byte, ethernet+ip+udp+payload)
	copy(b, router)
	copy(b[6:], mac)
	binary.BigEndian.PutUint16(b[12:], 0x0800)
	h := b[ethernet:]
	h[0], h[8], h[9] = 0x45, 64, 17
	binary.BigEndian.PutUint16(h[2:], ip+udp+payload)
	copy(h[12:], source.Addr4.AsSlice())
	copy(h[16:], server.Addr4.AsSlice())
	binary.BigEndian.PutUint16(h[10:], checksum(h[:ip]))
	binary.BigEndian.PutUint16(h[ip:], 7000)
	binary.BigEndian.PutUint16(h[ip+2:], 7001)
	binary.BigEndian.PutUint16(h[ip+4:], udp+payload)
	return b
}

func checksum(header []byte) uint16 {
	var sum uint32
	for i := 0; i < len(header); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(header[i:]))
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}
