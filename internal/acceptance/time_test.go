// SPDX-License-Identifier: Apache-2.0

package acceptance

import (
	"net/netip"
	"testing"
	"time"

	"github.com/hotspot-agent/hotspot-agent/internal/lab"
)

const (
	bought    = 3 * time.Second
	exactness = 5 * time.Millisecond
	opening   = 50 * time.Millisecond  // a Connect, which waits for the disk
	resuming  = 100 * time.Millisecond // and what the sender may be late, on a busy machine
	// Small packets in quick succession show to 0.5 ms when the way was open.
	beaconBits  = 4e6
	beaconBytes = 250
)

// beacon sends a stream each way for customer 0 and returns the sinks.
func (s *shop) beacon() (down, up *lab.Sink) {
	s.Helper()
	customer := s.kiosk.Customers[0]
	up, down = s.sink(s.kiosk.Server, "udp4"), s.sink(customer, "udp4")
	stopUp := s.blast(customer, netip.AddrPortFrom(server4, sinkPort), beaconBits, beaconBytes)
	stopDown := s.blast(s.kiosk.Server, netip.AddrPortFrom(customer.Addr4, sinkPort), beaconBits, beaconBytes)
	s.Cleanup(func() { stopUp(); stopDown() })
	return down, up
}

// A time session ends at its deadline, packets judging, and the agent need not live
// to see it.
func TestTimeSessionEndsAtItsDeadline(t *testing.T) {
	for name, killed := range map[string]bool{"agent alive": false, "agent killed": true} {
		t.Run(name, func(t *testing.T) {
			s := open(t, lab.KioskConfig{Customers: 1})
			down, up := s.beacon()
			session := s.sell(0, "--type", "time", "--time", bought.String())
			running, err := s.agent.Session(session.ID)
			must(t, err)
			end := lab.BoottimeOf(*running.StartedAt) + bought
			if killed {
				must(t, s.agent.Kill())
			}
			s.until("the end", func() bool { return lab.Boottime() > end })
			for direction, sink := range map[string]*lab.Sink{"down": down, "up": up} {
				got := s.silent(sink)
				t.Logf("%s: %d packets in %s, the last %s after the end", direction, got.Packets, got.Last-got.First, got.Last-end)
				if off := got.Last - end; off.Abs() > exactness {
					t.Errorf("%s: the last packet came %s after the end, want within %s", direction, off, exactness)
				}
				if late := got.First - (end - bought); late > opening {
					t.Errorf("%s: the first packet came %s after the start, want within %s", direction, late, opening)
				}
			}
			if killed {
				must(t, s.agent.Start())
			}
			if ended := s.ended(session.ID); ended.RemainingSecs != 0 || ended.TimeUsedSecs != int64(bought.Seconds()) {
				t.Errorf("the session ended as %+v, want all %s used", ended, bought)
			}
		})
	}
}

// The balance is debited while connected and at no other time.
func TestPauseAndResumeLoseNoSecond(t *testing.T) {
	s := open(t, lab.KioskConfig{Customers: 1})
	down, up := s.beacon()
	session := s.sell(0, "--type", "time", "--time", bought.String())
	for range 2 {
		open := up.Read().Flowing
		s.until("0.7 s online", func() bool { return up.Read().Flowing-open > 700*time.Millisecond })
		_, err := s.agent.Disconnect(s.mac(0))
		must(t, err)
		paused := up.Read()
		s.silent(up)
		if more := up.Read().Packets - paused.Packets; more > 1 { // one may be on its way into the sink
			t.Errorf("%d packets passed after the pause", more)
		}
		_, err = s.agent.Connect(s.mac(0))
		must(t, err)
	}
	s.ended(session.ID)
	for direction, sink := range map[string]*lab.Sink{"down": down, "up": up} {
		got := s.silent(sink)
		t.Logf("%s: open for %s in %d parts", direction, got.Flowing, got.Gaps+1)
		if got.Gaps != 2 {
			t.Errorf("%s: %d pauses, want 2", direction, got.Gaps)
		}
		if got.Flowing > bought+exactness || got.Flowing < bought-3*resuming {
			t.Errorf("%s: open for %s in all, want %s", direction, got.Flowing, bought)
		}
	}
}
