// SPDX-License-Identifier: Apache-2.0

package acceptance

import (
	"fmt"
	"math"
	"net/netip"
	"testing"
	"time"

	"github.com/hotspot-agent/hotspot-agent/internal/lab"
)

const (
	tolerance = 0.02
	measuring = 3 * time.Second
)

// UDP at twice the speed bought is delivered at the speed bought.
func TestSpeedIsHeld(t *testing.T) {
	for _, megabits := range []int{1, 10, 100} {
		for _, direction := range []string{"down", "up"} {
			t.Run(fmt.Sprintf("%d Mbit/s %s", megabits, direction), func(t *testing.T) {
				s := open(t, lab.KioskConfig{Customers: 1})
				speed := fmt.Sprint(megabits)
				s.sell(0, "--type", "time", "--time", "1h", "--down", speed, "--up", speed)
				from, to, at := s.kiosk.Customers[0], s.kiosk.Server, server4
				if direction == "down" {
					from, to = to, from
					at = to.Addr4
				}
				sink := s.sink(to, "udp4")
				want := float64(megabits) * 1e6
				stop := s.blast(from, netip.AddrPortFrom(at, sinkPort), 2*want, mtu)
				defer stop()
				s.burstOver(sink, want)
				off := s.speedOff(sink, want)
				// A machine that is busy with other things can stall the sender, which
				// shows as too slow, never as too fast.
				for range 2 {
					if off < -tolerance {
						off = s.speedOff(sink, want)
					}
				}
				if math.Abs(off) > tolerance {
					t.Errorf("delivered %+.2f %% off, want within %.0f %%", off*100, tolerance*100)
				}
			})
		}
	}
}

// burstOver waits until the burst that the limiter allows is over.
func (s *shop) burstOver(sink *lab.Sink, bitsPerSecond float64) {
	s.Helper()
	// Sent at twice the speed, the bucket of 200 ms, at least 64 KB, is full after this.
	burst := max(0.2, 65536*8/bitsPerSecond)
	s.until("the end of the burst", func() bool {
		now := sink.Read()
		return now.Packets > 0 && (lab.Boottime()-now.First).Seconds() > 1.5*burst
	})
}

// speedOff measures how far off what is delivered is, as a share of what is wanted.
func (s *shop) speedOff(sink *lab.Sink, want float64) float64 {
	s.Helper()
	start := sink.Read()
	s.until("the end of the measurement", func() bool { return sink.Read().Last-start.Last >= measuring })
	got := start.BitsPerSecond(sink.Read())
	s.Logf("delivered at %.3f Mbit/s, %+.2f %%", got/1e6, (got/want-1)*100)
	return got/want - 1
}
