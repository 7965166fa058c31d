// SPDX-License-Identifier: Apache-2.0

package lab_test

import (
	"context"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/hotspot-agent/hotspot-agent/internal/lab"
)

func TestEveryFrameOfACrowdArrives(t *testing.T) {
	const ipBytes, customers = 64, 300
	k := kiosk(t, lab.KioskConfig{Customers: 1})
	emulated, err := k.EmulateCustomers(customers)
	if err != nil {
		t.Fatal(err)
	}
	for name, way := range map[string]struct {
		from, to *lab.Host
		head     func(lab.EmulatedCustomer, int) []byte
	}{
		"up":   {k.Customers[0], k.Server, k.Up},
		"down": {k.Server, k.Customers[0], k.Down},
	} {
		t.Run(name, func(t *testing.T) {
			var heads [][]byte
			for _, m := range emulated {
				heads = append(heads, way.head(m, ipBytes))
			}
			swallowed, err := way.to.CountAndDrop(lab.Uplink, fmt.Sprintf("udp dport %d", lab.EmulatedPort))
			if err != nil {
				t.Fatal(err)
			}
			// The packets of the last are counted by themselves, too.
			last := fmt.Sprintf("ip %s %s", map[string]string{"up": "saddr", "down": "daddr"}[name], emulated[customers-1].Addr4)
			ofLast, err := way.to.Count(lab.Ingress, lab.Uplink, last)
			if err != nil {
				t.Fatal(err)
			}
			spray, err := way.from.GenerateFrames(lab.Uplink, heads, make([]byte, ipBytes-lab.UDPOverIPv4))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = spray.Close() }()
			done, err := spray.Run(0, 20*time.Millisecond)
			if err != nil {
				t.Fatal(err)
			}
			got := await(t, swallowed, done.Frames)
			if got.Packets != done.Frames || got.Bytes != done.Frames*ipBytes {
				t.Errorf("%d of %d frames arrived, with %d bytes", got.Packets, done.Frames, got.Bytes)
			}
			if n, err := ofLast.Read(); err != nil || n.Packets < done.Frames/customers {
				t.Errorf("%d of %d frames are of the last of %d customers (%v)", n.Packets, done.Frames, customers, err)
			}
		})
	}
}

// await waits until a counter has seen so many packets.
func await(t *testing.T, c *lab.Counter, packets uint64) lab.Count {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); ; {
		got, err := c.Read()
		if err != nil {
			t.Fatal(err)
		}
		if got.Packets >= packets || time.Now().After(deadline) {
			return got
		}
	}
}

func TestACustomerInTheGuiseOfAMember(t *testing.T) {
	k := kiosk(t, lab.KioskConfig{Customers: 1})
	emulated, err := k.EmulateCustomers(2)
	if err != nil {
		t.Fatal(err)
	}
	if err := k.SpoofIPs(emulated); err != nil {
		t.Fatal(err)
	}
	portal, err := k.Router.Listen(lab.RouterLAN4 + ":80")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = portal.Close() }()
	go func() {
		for {
			conn, err := portal.Accept()
			if err != nil {
				return // closed
			}
			_, _ = fmt.Fprint(conn, conn.RemoteAddr().String())
			_ = conn.Close()
		}
	}()
	for _, m := range emulated {
		conn, err := k.DialAs(context.Background(), m, lab.RouterLAN4+":80")
		if err != nil {
			t.Fatal(err)
		}
		seen, err := io.ReadAll(conn)
		if want := conn.LocalAddr().String(); string(seen) != want || err != nil {
			t.Errorf("the portal saw %q, want %q of customer %s (%v)", seen, want, m.Addr4, err)
		}
		_ = conn.Close()
	}
}

func TestASinkKeepsStamps(t *testing.T) {
	k := kiosk(t, lab.KioskConfig{Customers: 1})
	sink, err := k.Server.Sink("udp4", 9000)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sink.Close() }()
	sink.Keep()
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	sent, err := k.Customers[0].Blast(ctx, server(9000)["udp4"], 2e6, 250)
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(5 * time.Second); sink.Read().Packets < sent && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	stamps := sink.Stamps()
	if uint64(len(stamps)) != sent {
		t.Fatalf("%d stamps of %d packets", len(stamps), sent)
	}
	for i, s := range stamps {
		if s.Sequence != uint64(i) || i > 0 && s.At < stamps[i-1].At {
			t.Fatalf("stamp %d is %+v, after %+v", i, s, stamps[max(i-1, 0)])
		}
	}
}
