// SPDX-License-Identifier: Apache-2.0

package adversary

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/hotspot-agent/hotspot-agent/internal/lab"
)

// Witness hears at a kiosk's server what came through the router.
type Witness struct {
	kiosk *lab.Kiosk
	ear   *lab.Sniffer
	own   []netip.Addr // of the router

	mu     sync.Mutex
	passed int
	last   []byte
	mark   uint64 // the highest that came
	sent   uint64 // the highest that was sent
}

// markPort is where marks go: packets of a connected device, by which the witness knows
// that what was sent before has come, or does not come.
const markPort = 9

// NewWitness starts to hear. The caller closes it.
func NewWitness(k *lab.Kiosk) (*Witness, error) {
	w := &Witness{kiosk: k}
	for _, addr := range []string{lab.RouterLAN4, lab.RouterLAN6, lab.RouterWAN4, lab.RouterWAN6} {
		w.own = append(w.own, netip.MustParseAddr(addr))
	}
	var err error
	w.ear, err = k.Server.Sniff(lab.Uplink, w.hear)
	return w, err
}

// Close ends the hearing.
func (w *Witness) Close() { w.ear.Close() }

func (w *Witness) hear(frame []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	mark, marked := markIn(frame)
	switch {
	case marked:
		w.mark = max(w.mark, mark)
	case !w.ofTheRouter(frame):
		w.passed++
		w.last = slices.Clone(frame)
	}
}

// ofTheRouter reports whether the router itself sent a frame, to find its neighbours or as
// an answer. Linux forwards nothing that comes from its own addresses or from a link's.
func (w *Witness) ofTheRouter(frame []byte) bool {
	var from netip.Addr
	switch ethertype := binary.BigEndian.Uint16(frame[12:]); {
	case ethertype == typeARP && len(frame) >= 32:
		from = netip.AddrFrom4([4]byte(frame[28:]))
	case ethertype == typeIPv4 && len(frame) >= 34:
		from = netip.AddrFrom4([4]byte(frame[26:]))
	case ethertype == typeIPv6 && len(frame) >= 54:
		from = netip.AddrFrom16([16]byte(frame[22:]))
	}
	return slices.Contains(w.own, from) || from.IsLinkLocalUnicast() || from == netip.IPv6Unspecified()
}

// Passed is how many frames came that are neither the router's nor marks, and the last of them.
func (w *Witness) Passed() (frames int, last []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.passed, w.last
}

// Settle returns when all is heard that was sent before: two marks of a connected device,
// one after the other, have come the same way.
func (w *Witness) Settle(d Device, from *lab.Host) error {
	for range 2 {
		if err := w.await(d, from); err != nil {
			return err
		}
	}
	return nil
}

func (w *Witness) await(d Device, from *lab.Host) error {
	const patience, again = 20 * time.Second, 2 * time.Second
	w.sent++
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		if err := from.SendFrames(lab.Uplink, d.markOf(w.sent)); err != nil {
			return err
		}
		for until := time.Now().Add(again); time.Now().Before(until); time.Sleep(time.Millisecond) {
			if w.marked() >= w.sent {
				return nil
			}
		}
	}
	return fmt.Errorf("mark %d of %s did not arrive within %s", w.sent, d.MAC, patience)
}

func (w *Witness) marked() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.mark
}

func (d *Device) markOf(n uint64) []byte {
	return d.to4(udp, datagram(markPort, markPort, string(binary.BigEndian.AppendUint64(nil, n))))
}

func markIn(frame []byte) (n uint64, ok bool) {
	const ports, payload = 14 + 20, 14 + 20 + 8
	if len(frame) < payload+8 || frame[23] != udp || binary.BigEndian.Uint32(frame[ports:]) != markPort<<16|markPort {
		return 0, false
	}
	return binary.BigEndian.Uint64(frame[payload:]), true
}

// Of returns customer i of a kiosk as a device that tries, where customer paid is
// connected; counted from 0.
func Of(k *lab.Kiosk, i, paid int) (Device, error) {
	gateway, err := k.GatewayMAC(i)
	c, p := k.Customers[i], k.Customers[paid]
	return Device{
		MAC: c.MAC, Router: gateway, Addr4: c.Addr4, Addr6: c.Addr6,
		Router4: k.Router.Addr4, Router6: k.Router.Addr6,
		Server4: k.Server.Addr4, Server6: k.Server.Addr6,
		Paid: p.MAC, Paid4: p.Addr4, Paid6: p.Addr6,
	}, err
}
