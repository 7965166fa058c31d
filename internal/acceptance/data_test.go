// SPDX-License-Identifier: Apache-2.0

package acceptance

import (
	"context"
	"net/netip"
	"testing"

	"github.com/hotspot-agent/hotspot-agent/internal/harness"
	"github.com/hotspot-agent/hotspot-agent/internal/lab"
)

const allowance = 10_000_000

var offloads = map[string]lab.Offloads{"on": lab.OffloadsOn, "inside": lab.OffloadsInside, "off": lab.OffloadsOff}

// A data session delivers no byte more than was bought, and less than one packet
// is written off, whatever the flows are.
func TestDataSessionEndsAtTheByte(t *testing.T) {
	for name, offloads := range offloads {
		for direction, start := range map[string]func(*lab.Host) (*lab.Transfer, error){
			"download": func(c *lab.Host) (*lab.Transfer, error) {
				return c.Download(netip.AddrPortFrom(server4, bulkPort), 4)
			},
			"upload": func(c *lab.Host) (*lab.Transfer, error) {
				return c.Upload(netip.AddrPortFrom(server4, bulkPort), 4)
			},
			"both over IPv6": func(c *lab.Host) (*lab.Transfer, error) {
				return c.Transfer(netip.AddrPortFrom(server6, bulkPort), 2, 2)
			},
		} {
			t.Run("offloads "+name+", "+direction, func(t *testing.T) {
				s := open(t, lab.KioskConfig{Customers: 1, Offloads: offloads})
				wire := s.wire(0)
				session := s.sell(0, "--type", "data", "--data", "10MB")
				transfer, err := start(s.kiosk.Customers[0])
				must(t, err)
				t.Cleanup(transfer.Stop)
				s.checkEnd(s.ended(session.ID), wire, offloads)
			})
		}
	}
}

// checkEnd compares what was bought, what the agent counted and what the wire
// carried of a session that is consumed.
func (s *shop) checkEnd(session harness.Session, wire *wire, offloads lab.Offloads) {
	s.Helper()
	carried := wire.total()
	s.Logf("bought %d, agent counted %d, wire carried %d (%d packets)", session.DataBytes, session.DataUsedBytes, carried.Bytes, carried.Packets)
	if session.DataUsedBytes > session.DataBytes || session.DataBytes-session.DataUsedBytes >= mtu {
		s.Errorf("agent counted %d of %d: want no more, and less than one packet of %d left", session.DataUsedBytes, session.DataBytes, mtu)
	}
	if offloads == lab.OffloadsOn {
		// The far end counts a super-packet with one header only.
		if carried.Bytes > session.DataUsedBytes {
			s.Errorf("the far ends received %d bytes, the agent counted %d", carried.Bytes, session.DataUsedBytes)
		}
	} else if carried.Bytes != session.DataUsedBytes {
		lost, err := s.kiosk.Lost()
		s.Errorf("the wire carried %d bytes, the agent counted %d (%d frames lost after it, %v)", carried.Bytes, session.DataUsedBytes, lost, err)
	}
	answered, err := s.kiosk.Customers[0].Ping(netip.AddrPortFrom(server4, bulkPort), 1, lab.Silence)
	if later := wire.total(); later != carried || answered != 0 || err != nil {
		s.Errorf("after the end the wire carried %d packets more (%v)", later.Packets-carried.Packets, err)
	}
}

// The kernel ends a data session by itself, and an agent that comes back finds all
// of it counted.
func TestDataSessionEndsWithoutTheAgent(t *testing.T) {
	s := open(t, lab.KioskConfig{Customers: 1, Offloads: lab.OffloadsInside})
	wire := s.wire(0)
	session := s.sell(0, "--type", "data", "--data", "10MB")
	must(t, s.agent.Kill())
	download, err := s.kiosk.Customers[0].Download(netip.AddrPortFrom(server4, bulkPort), 4)
	must(t, err)
	t.Cleanup(download.Stop)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if !download.WaitIdle(ctx, 2*lab.Silence) {
		t.Errorf("the download continues after %d bytes", download.Bytes())
	}
	must(t, s.agent.Start())
	s.checkEnd(s.ended(session.ID), wire, lab.OffloadsInside)
}

// A top-up during a download keeps its connections and loses no byte.
func TestTopUpWhileDownloading(t *testing.T) {
	s := open(t, lab.KioskConfig{Customers: 1, Offloads: lab.OffloadsInside})
	wire := s.wire(0)
	session := s.sell(0, "--type", "data", "--data", "4MB", "--down", "20")
	download, err := s.kiosk.Customers[0].Download(netip.AddrPortFrom(server4, bulkPort), 4)
	must(t, err)
	t.Cleanup(download.Stop)
	s.until("2 MB downloaded", func() bool { return download.Bytes() > 2_000_000 })

	topped, err := s.agent.TopUp(session.ID, "--data", "10MB")
	must(t, err)
	if topped.DataBytes != allowance || topped.State != "running" {
		t.Errorf("after the top-up the session is %+v, want 10 MB, running", topped)
	}
	s.checkEnd(s.ended(session.ID), wire, lab.OffloadsInside)
	// All of the wire's bytes were checked above. What the connections hand on is
	// less: the end leaves holes behind which received segments wait for ever.
	if got := download.Bytes(); got < allowance/2 {
		t.Errorf("the connections of the download received %d bytes: they did not continue past the first 4 MB", got)
	}
}
