// SPDX-License-Identifier: Apache-2.0

package acceptance

import (
	"net/netip"
	"testing"

	"github.com/hotspot-agent/hotspot-agent/internal/lab"
)

// An agent that is killed and started again under traffic costs no packet, and
// every byte is counted.
func TestRestartUnderTraffic(t *testing.T) {
	s := open(t, lab.KioskConfig{Customers: 1, Offloads: lab.OffloadsInside}, "checkpoint: 1s")
	customer, wire := s.kiosk.Customers[0], s.wire(0)
	session := s.sell(0, "--type", "data", "--data", "1GB")
	up, down := s.sink(s.kiosk.Server, "udp6"), s.sink(customer, "udp4")
	stopUp := s.blast(customer, netip.AddrPortFrom(server6, sinkPort), 5e6, 1000)
	stopDown := s.blast(s.kiosk.Server, netip.AddrPortFrom(customer.Addr4, sinkPort), 20e6, mtu)

	for range 3 {
		before := up.Read().Packets
		s.until("traffic", func() bool { return up.Read().Packets > before+200 })
		must(t, s.agent.Kill())
		dead := up.Read().Packets
		s.until("traffic without the agent", func() bool { return up.Read().Packets > dead+200 })
		must(t, s.agent.Start())
	}
	after := up.Read().Packets
	s.until("traffic", func() bool { return up.Read().Packets > after+200 })
	sentUp, sentDown := stopUp(), stopDown()

	s.delivered("up", up, sentUp)
	s.delivered("down", down, sentDown)
	counted, err := s.agent.Session(session.ID)
	must(t, err)
	carried := wire.total()
	t.Logf("wire carried %d bytes, agent counted %d", carried.Bytes, counted.DataUsedBytes)
	if carried.Bytes != counted.DataUsedBytes {
		t.Errorf("the wire carried %d bytes, the agent counted %d", carried.Bytes, counted.DataUsedBytes)
	}
}

func (s *shop) delivered(direction string, sink *lab.Sink, sent uint64) {
	s.Helper()
	s.until("the last packet", func() bool { return lab.Boottime()-sink.Read().Last > lab.Silence })
	got := sink.Read()
	s.Logf("%s: %d packets sent, %d delivered", direction, sent, got.Packets)
	if got.Packets != sent || got.Missing != 0 {
		s.Errorf("%s: %d of %d packets delivered", direction, got.Packets, sent)
	}
}
