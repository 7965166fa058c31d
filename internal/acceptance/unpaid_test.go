// SPDX-License-Identifier: Apache-2.0

package acceptance

import (
	"errors"
	"net/netip"
	"slices"
	"testing"

	"github.com/hotspot-agent/hotspot-agent/internal/adversary"
	"github.com/hotspot-agent/hotspot-agent/internal/lab"
)

// A device that has not paid passes nothing in either direction, wherever the agent
// stands. The same packets of a device that has paid pass, which proves that they would
// have.
func TestUnpaidPassesNothing(t *testing.T) {
	for name, place := range map[string]struct {
		prepare    func(*lab.Kiosk) error
		interfaces string
	}{
		"bridge": {(*lab.Kiosk).DefaultRoutes, "interfaces: [br-lan]"},
		"bridge, with answers": {(*lab.Kiosk).DefaultRoutes,
			"interfaces: [br-lan]\ncaptive: {redirect: 'http://" + lab.RouterLAN4 + ":8080/', https: alert}"},
		"ports":      {(*lab.Kiosk).DefaultRoutes, "interfaces: [lan1, lan2]"},
		"interfaces": {func(k *lab.Kiosk) error { return errors.Join(k.Unbridge(), k.DefaultRoutes()) }, "interfaces: [lan1, lan2]"},
	} {
		t.Run(name, func(t *testing.T) {
			kiosk := newKiosk(t, lab.KioskConfig{Customers: 2})
			must(t, place.prepare(kiosk))
			testUnpaid(openIn(t, kiosk, place.interfaces, "portal: [':8080']"))
		})
	}
}

func testUnpaid(s *shop) {
	unpaid, paid := s.kiosk.Customers[0], s.kiosk.Customers[1]
	session := s.sell(1, "--type", "data", "--data", "100MB")
	s.meetNeighbours()
	sender, err := adversary.Of(s.kiosk, 0, 1)
	must(s.T, err)
	customer, err := adversary.Of(s.kiosk, 1, 0)
	must(s.T, err)
	witness, err := adversary.NewWitness(s.kiosk)
	must(s.T, err)
	defer witness.Close()

	wireUnpaid, wirePaid := s.wire(0), s.wire(1)
	passed := func(from *lab.Host, try adversary.Attack) int {
		s.Helper()
		before, _ := witness.Passed()
		must(s.T, from.SendFrames(lab.Uplink, try.Frame))
		must(s.T, witness.Settle(customer, paid))
		after, _ := witness.Passed()
		return after - before
	}
	for _, try := range slices.Concat(sender.Forwarded(), sender.Attacks()) {
		if n := passed(unpaid, try); n != 0 {
			s.Errorf("%s: %d frames passed", try.Name, n)
		}
	}
	for _, try := range customer.Forwarded() {
		if n := passed(paid, try); n != 1 {
			s.Errorf("%s: %d frames of the paid device passed", try.Name, n)
		}
	}
	s.until("agent and wire to agree, the server's answers included", func() bool {
		carried := wirePaid.total().Bytes
		return s.used(session.ID) == carried && wirePaid.total().Bytes == carried
	})
	s.nothingComesDown(wireUnpaid, unpaid)
}

func (s *shop) used(session int64) uint64 {
	s.Helper()
	counted, err := s.agent.Session(session)
	must(s.T, err)
	return counted.DataUsedBytes
}

// meetNeighbours has the router and the hosts learn each other's MACs, which is
// open to all, so that no probe waits for that.
func (s *shop) meetNeighbours() {
	s.Helper()
	stop, err := s.kiosk.Router.ServeEcho(7)
	must(s.T, err)
	defer stop()
	for _, h := range append([]*lab.Host{s.kiosk.Server}, s.kiosk.Customers...) {
		addrs := []netip.Addr{s.kiosk.Router.Addr4, s.kiosk.Router.Addr6}
		if h == s.kiosk.Server {
			addrs = []netip.Addr{netip.MustParseAddr(lab.RouterWAN4), netip.MustParseAddr(lab.RouterWAN6)}
		}
		for _, to := range addrs {
			// An unpaid customer gets no answer to this, only the MAC.
			_, err := h.Ping(netip.AddrPortFrom(to, 7), 1, lab.Silence)
			must(s.T, err)
		}
	}
}

// nothingComesDown sends from the internet to a device that has not paid: small
// packets and such that travel in fragments.
func (s *shop) nothingComesDown(w *wire, unpaid *lab.Host) {
	s.Helper()
	before, _ := w.read() // answers of the router to the probes
	arrived, err := s.kiosk.Router.Count(lab.Ingress, lab.WAN, "ip daddr "+unpaid.Addr4.String(), "ip6 daddr "+unpaid.Addr6.String())
	must(s.T, err)
	for _, to := range []netip.Addr{unpaid.Addr4, unpaid.Addr6} {
		for _, size := range []int{100, mtu, 4000} {
			stop := s.blast(s.kiosk.Server, netip.AddrPortFrom(to, sinkPort), 1e6, size)
			already, err := arrived.Read()
			must(s.T, err)
			s.until("packets at the router", func() bool {
				now, err := arrived.Read()
				must(s.T, err)
				return now.Packets >= already.Packets+10
			})
			stop()
		}
	}
	if down, _ := w.read(); down != before {
		s.Errorf("%d packets came down to a device that has not paid", down.Packets-before.Packets)
	}
}
