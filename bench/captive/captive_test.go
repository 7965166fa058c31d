// SPDX-License-Identifier: Apache-2.0

package captive

import (
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/hotspot-agent/hotspot-agent/internal/lab"
)

// What the kernel would drop for its checksum or length has no answer, and would look as
// if the router amplified nothing.
func TestFramesAreWhole(t *testing.T) {
	for _, s := range []station{
		{from: netip.MustParseAddr("10.80.1.2"), to: netip.MustParseAddr("203.0.113.2")},
		{from: netip.MustParseAddr("fd77::1"), to: netip.MustParseAddr("2001:db8::1")},
	} {
		s.mac, s.router = net.HardwareAddr{2, 0, 0, 0, 0, 1}, net.HardwareAddr{2, 0, 0, 0, 0, 2}
		frame := s.tcp(segment{source: 1, dest: 80, flags: flagPSH | flagACK, payload: []byte("GET")})
		header := len(s.ip(protocolTCP, 0))
		if got, want := ipBytes(frame), header+tcpBytes+3; got != want || len(frame) != ethernetBytes+want {
			t.Errorf("%v: %d bytes of IP in a frame of %d, want %d", s.from, got, len(frame), want)
		}
		if ip := frame[ethernetBytes : ethernetBytes+header]; s.from.Is4() && lab.InternetChecksum(ip) != 0 {
			t.Errorf("%v: the IP header's checksum is wrong", s.from)
		}
		summed := slices.Concat(s.from.AsSlice(), s.to.AsSlice(), []byte{0, protocolTCP, 0, tcpBytes + 3}, frame[ethernetBytes+header:], []byte{0})
		if lab.InternetChecksum(summed) != 0 {
			t.Errorf("%v: the segment's checksum is wrong", s.from)
		}
	}
}

func TestTurnsAreComparedWithTheirNeighbours(t *testing.T) {
	turnOf := func(n int) turn { return turn{took: make([]time.Duration, n), wall: time.Second} }
	got := ratios([]turn{turnOf(30), turnOf(10), turnOf(20)}, []turn{turnOf(10), turnOf(10), turnOf(10)}, turn.rate)
	if want := []float64{3, 1, 2}; !slices.Equal(got, want) || median(got) != 2 {
		t.Errorf("got %v, median %v, want %v, 2", got, median(got), want)
	}
}
