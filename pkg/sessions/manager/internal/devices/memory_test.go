// SPDX-License-Identifier: Apache-2.0

package devices

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
)

// TestVisitors plays any order of events, beside a plain list of what must be remembered:
// latest first, no address twice, no id twice ever.
func TestVisitors(t *testing.T) {
	const limit = 5
	rapid.Check(t, func(t *rapid.T) {
		v := newVisitors(limit)
		var want []sessions.Device // the latest seen first
		given := make(map[sessions.DeviceID]dataplane.MAC)
		next := sessions.DeviceID(1)
		drop := func(match func(sessions.Device) bool) { want = slices.DeleteFunc(want, match) }
		release := func(ip netip.Addr) {
			for i := range want {
				want[i].IPs = slices.DeleteFunc(slices.Clone(want[i].IPs), func(a netip.Addr) bool { return a == ip })
			}
		}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			mac := dataplane.MAC{2, 0, 0, 0, 0, rapid.Byte().Draw(t, "mac") % 9}
			ip := netip.AddrFrom4([4]byte{10, 0, 0, rapid.Byte().Draw(t, "ip") % 6})
			at := slices.IndexFunc(want, func(d sessions.Device) bool { return d.MAC == mac })
			switch rapid.IntRange(0, 9).Draw(t, "what") {
			case 0:
				v.forget(mac)
				drop(func(d sessions.Device) bool { return d.MAC == mac })
			case 1:
				v.releaseIP(ip)
				release(ip)
			default:
				d, ok := v.see(mac, ip, "", time.Unix(1, 0))
				if !ok {
					v.reserved(next, 3)
					next += 3
					d, ok = v.see(mac, ip, "", time.Unix(1, 0))
				}
				if !ok {
					t.Fatalf("no id for %s", mac)
				}
				if at < 0 {
					if owner, used := given[d.ID]; used {
						t.Fatalf("%s got the id %d of %s", mac, d.ID, owner)
					}
					given[d.ID] = mac
					want = slices.Insert(want, 0, sessions.Device{ID: d.ID, MAC: mac})
					want = want[:min(len(want), limit)]
				} else {
					known := want[at]
					want = slices.Insert(slices.Delete(want, at, at+1), 0, known)
				}
				release(ip)
				want[0].IPs = append([]netip.Addr{ip}, want[0].IPs...)
				want[0].IPs = want[0].IPs[:min(len(want[0].IPs), sessions.MaxIPs)]
			}
			compare(t, v, want)
		}
	})
}

func compare(t *rapid.T, v *visitors, want []sessions.Device) {
	if v.count() != len(want) || len(v.byMAC) != len(want) || len(v.byID) != len(want) {
		t.Fatalf("%d are remembered, by %d MACs and %d ids, want %d", v.count(), len(v.byMAC), len(v.byID), len(want))
	}
	addresses := 0
	for _, d := range want {
		got, ok := v.findID(d.ID)
		if same, _ := v.findMAC(d.MAC); !ok || got.MAC != d.MAC || same.ID != d.ID || !slices.Equal(got.IPs, d.IPs) {
			t.Fatalf("remembered as %+v, want %+v", got, d)
		}
		for _, ip := range d.IPs {
			addresses++
			if owner, _ := v.findIP(ip); owner.ID != d.ID {
				t.Fatalf("%s is of device %d, want %d", ip, owner.ID, d.ID)
			}
		}
	}
	if len(v.byIP) != addresses {
		t.Fatalf("%d addresses are remembered, want %d", len(v.byIP), addresses)
	}
}
