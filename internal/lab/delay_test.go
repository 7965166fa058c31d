// SPDX-License-Identifier: Apache-2.0

package lab_test

import (
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/hotspot-agent/hotspot-agent/internal/lab"
)

// A packet takes the delay each way, and none is lost.
func TestDelayLine(t *testing.T) {
	const delay, tolerance, pings = 30 * time.Millisecond, 5 * time.Millisecond, 20
	k := kiosk(t, lab.KioskConfig{Customers: 1, Delay: delay})
	stop, err := k.Server.ServeEcho(7)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	for family, to := range server(7) {
		conn, err := k.Customers[0].Dial(t.Context(), "udp", to.String())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		var took []time.Duration
		for i := range pings {
			took = append(took, roundTrip(t, conn, uint64(i)))
		}
		slices.Sort(took)
		// A stall of the machine makes single packets late; none may be early.
		if first, middle := took[0], took[pings/2]; first < 2*delay || middle > 2*delay+tolerance {
			t.Errorf("%s: first after %v, half after %v, want %v", family, first, middle, 2*delay)
		}
	}
}

func roundTrip(t *testing.T, conn net.Conn, n uint64) time.Duration {
	t.Helper()
	sent := time.Now()
	packet := binary.BigEndian.AppendUint64(nil, n)
	if _, err := conn.Write(packet); err != nil {
		t.Fatal(err)
	}
	_ = conn.SetReadDeadline(sent.Add(time.Second))
	if _, err := conn.Read(packet); err != nil || binary.BigEndian.Uint64(packet) != n {
		t.Fatalf("packet %d: got %x, %v", n, packet, err)
	}
	return time.Since(sent)
}

// Bulk traffic both ways passes whole: what is sent into the line comes out of it.
func TestDelayLineDropsNothing(t *testing.T) {
	for name, offloads := range map[string]lab.Offloads{"on": lab.OffloadsOn, "off": lab.OffloadsOff} {
		t.Run(name, func(t *testing.T) {
			k := kiosk(t, lab.KioskConfig{Customers: 1, Offloads: offloads, Delay: 5 * time.Millisecond})
			super, err := k.Router.Count(lab.Forward, "", "meta length > 1500")
			if err != nil {
				t.Fatal(err)
			}
			stop, err := k.Server.ServeBulk(9001)
			if err != nil {
				t.Fatal(err)
			}
			defer stop()
			transfer, err := k.Customers[0].Transfer(netip.AddrPortFrom(k.Server.Addr4, 9001), 2, 2)
			if err != nil {
				t.Fatal(err)
			}
			for transfer.Bytes() < 10_000_000 && transfer.Elapsed() < 20*time.Second {
				time.Sleep(time.Millisecond)
			}
			transfer.Stop()
			stats, err := k.DelayStats()
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%+v", stats)
			if stats.Packets == 0 || stats.Dropped > 0 || stats.Failed > 0 {
				t.Errorf("%+v, want packets and no losses", stats)
			}
			if n, _ := super.Read(); (n.Packets > 0) != (offloads == lab.OffloadsOn) {
				t.Errorf("%d super-packets in the router", n.Packets)
			}
		})
	}
}
