// SPDX-License-Identifier: Apache-2.0

package lab_test

import (
	"context"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/hotspot-agent/hotspot-agent/internal/lab"
)

func kiosk(t *testing.T, config lab.KioskConfig) *lab.Kiosk {
	t.Helper()
	if os.Geteuid() != 0 {
		if os.Getenv("HOTSPOT_REQUIRE_KERNEL") != "" {
			t.Fatal("needs root")
		}
		t.Skip("needs root")
	}
	l, err := lab.New("hs-lab")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	k, err := l.Kiosk(config)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func server(port uint16) map[string]netip.AddrPort {
	return map[string]netip.AddrPort{
		"udp4": netip.AddrPortFrom(netip.MustParseAddr(lab.Server4), port),
		"udp6": netip.AddrPortFrom(netip.MustParseAddr(lab.Server6), port),
	}
}

func TestKioskForwardsBothFamilies(t *testing.T) {
	k := kiosk(t, lab.KioskConfig{Customers: 2})
	stop, err := k.Server.ServeEcho(7)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	for _, c := range k.Customers {
		for family, to := range server(7) {
			if n, err := c.Ping(to, 3, time.Second); n != 3 || err != nil {
				t.Errorf("%s over %s: %d of 3 answered, %v", c.Name, family, n, err)
			}
		}
	}
}

func TestCountsAgree(t *testing.T) {
	const packets, size = 1000, 1000
	for family, to := range server(9000) {
		t.Run(family, func(t *testing.T) {
			k := kiosk(t, lab.KioskConfig{Customers: 1, Offloads: lab.OffloadsOff})
			wire, err := k.Wire(0)
			if err != nil {
				t.Fatal(err)
			}
			forward, err := k.Router.Count(lab.Forward, "", "ether saddr "+k.Customers[0].MAC.String())
			if err != nil {
				t.Fatal(err)
			}
			egress, err := k.Router.Count(lab.Egress, lab.WAN, "udp dport 9000")
			if err != nil {
				t.Fatal(err)
			}
			sink, err := k.Server.Sink(family, 9000)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = sink.Close() }()
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			sent, err := k.Customers[0].Blast(ctx, to, packets*size*8, size)
			if err != nil {
				t.Fatal(err)
			}
			_, up, err := wire.Read()
			if err != nil {
				t.Fatal(err)
			}
			want := lab.Count{Packets: sent, Bytes: sent * size}
			if up != want {
				t.Errorf("server's interface counted %+v, want %+v", up, want)
			}
			for name, counter := range map[string]*lab.Counter{"forward": forward, "egress": egress} {
				if got, err := counter.Read(); got != want || err != nil {
					t.Errorf("%s counted %+v, %v, want %+v", name, got, err, want)
				}
			}
			got := sink.Read()
			if got.Packets != want.Packets || got.Bytes != want.Bytes || got.Missing != 0 {
				t.Errorf("sink received %+v, want %+v", got, want)
			}
			if now := lab.Boottime(); got.Last > now || got.Last < now-time.Second {
				t.Errorf("last packet stamped %v, now %v", got.Last, now)
			}
		})
	}
}

// The three ways to set offloads differ in what size of packet the router and the
// far end see.
func TestOffloads(t *testing.T) {
	for name, test := range map[string]struct {
		offloads              lab.Offloads
		routerSuper, farSuper bool
	}{
		"on":     {lab.OffloadsOn, true, true},
		"inside": {lab.OffloadsInside, true, false},
		"off":    {lab.OffloadsOff, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			k := kiosk(t, lab.KioskConfig{Customers: 1, Offloads: test.offloads})
			stop, err := k.Server.ServeBulk(9001)
			if err != nil {
				t.Fatal(err)
			}
			defer stop()
			for direction, start := range map[string]func(netip.AddrPort, int) (*lab.Transfer, error){
				"download": k.Customers[0].Download, "upload": k.Customers[0].Upload,
			} {
				router, err := k.Router.Count(lab.Forward, "", "meta length > 1500")
				if err != nil {
					t.Fatal(err)
				}
				device := k.Customers[0]
				if direction == "upload" {
					device = k.Server
				}
				far, err := device.Count(lab.Ingress, lab.Uplink, "meta length > 1500")
				if err != nil {
					t.Fatal(err)
				}
				transfer, err := start(server(9001)["udp4"], 2)
				if err != nil {
					t.Fatal(err)
				}
				for transfer.Bytes() < 10_000_000 && transfer.Elapsed() < 10*time.Second {
					time.Sleep(time.Millisecond)
				}
				transfer.Stop()
				atRouter, _ := router.Read()
				atEnd, _ := far.Read()
				if (atRouter.Packets > 0) != test.routerSuper || (atEnd.Packets > 0) != test.farSuper {
					t.Errorf("%s: %d super-packets in the router, %d at the far end", direction, atRouter.Packets, atEnd.Packets)
				}
			}
		})
	}
}

func TestNothingIsLeftBehind(t *testing.T) {
	k := kiosk(t, lab.KioskConfig{Customers: 1})
	path := k.Router.NetNS()
	if _, err := os.Stat(path); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := k.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("%s after Close: %v", path, err)
	}
}
