// SPDX-License-Identifier: Apache-2.0

package acceptance

import (
	"net/netip"
	"testing"
	"time"

	"github.com/hotspot-agent/hotspot-agent/internal/lab"
)

// Only forwarded traffic is debited.
func TestLocalTrafficIsFree(t *testing.T) {
	s := open(t, lab.KioskConfig{Customers: 2})
	for _, h := range []*lab.Host{s.kiosk.Router, s.kiosk.Server, s.kiosk.Customers[1]} {
		stop, err := h.ServeEcho(7)
		must(t, err)
		t.Cleanup(stop)
	}
	session := s.sell(0, "--type", "data", "--data", "1MB")
	customer := s.kiosk.Customers[0]
	for name, test := range map[string]struct {
		to   netip.Addr
		free bool
	}{
		"router over IPv4":           {s.kiosk.Router.Addr4, true},
		"router over IPv6":           {s.kiosk.Router.Addr6, true},
		"router's other address":     {netip.MustParseAddr(lab.RouterWAN4), true},
		"another customer over IPv4": {s.kiosk.Customers[1].Addr4, true},
		"another customer over IPv6": {s.kiosk.Customers[1].Addr6, true},
		"internet over IPv4":         {server4, false},
		"internet over IPv6":         {server6, false},
	} {
		before, err := s.agent.Session(session.ID)
		must(t, err)
		const echoes = 20
		if n, err := customer.Ping(netip.AddrPortFrom(test.to, 7), echoes, time.Second); n != echoes || err != nil {
			t.Errorf("%s: %d of %d answered, %v", name, n, echoes, err)
		}
		after, err := s.agent.Session(session.ID)
		must(t, err)
		want := uint64(0)
		if !test.free {
			want = 2 * echoes * (64 + 28)
			if test.to.Is6() {
				want = 2 * echoes * (64 + 48)
			}
		}
		if got := after.DataUsedBytes - before.DataUsedBytes; got != want {
			t.Errorf("%s: debited %d bytes, want %d", name, got, want)
		}
	}
}
