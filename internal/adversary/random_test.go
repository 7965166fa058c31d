// SPDX-License-Identifier: Apache-2.0

package adversary

import (
	"net"
	"net/netip"
	"testing"
)

// A packet socket refuses frames beyond the MTU: an attack that is not sent tries nothing.
func TestRandomFramesFitTheLink(t *testing.T) {
	d := Device{
		MAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, Router: net.HardwareAddr{2, 0, 0, 0, 0, 2}, Paid: net.HardwareAddr{2, 0, 0, 0, 0, 3},
		Addr4: netip.MustParseAddr("10.0.0.2"), Router4: netip.MustParseAddr("10.0.0.1"), Server4: netip.MustParseAddr("192.0.2.1"), Paid4: netip.MustParseAddr("10.0.0.3"),
		Addr6: netip.MustParseAddr("fd00::2"), Router6: netip.MustParseAddr("fd00::1"), Server6: netip.MustParseAddr("2001:db8::1"), Paid6: netip.MustParseAddr("fd00::3"),
	}
	for seed := range uint64(20) {
		random := d.Random(seed)
		for range 5000 {
			if frame := random(); len(frame) < 14 || len(frame) > longest {
				t.Fatalf("seed %d: a frame of %d bytes", seed, len(frame))
			}
		}
	}
}
