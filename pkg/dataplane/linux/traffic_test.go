// SPDX-License-Identifier: Apache-2.0

package linux

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/hotspot-agent/hotspot-agent/internal/lab"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane/linux/internal/kernel"
)

// kiosk is a box with one customer and a server beyond it.
type kiosk struct {
	*box
	*lab.Kiosk
	mac dataplane.MAC // the customer's
}

func newKiosk(t *testing.T) *kiosk {
	t.Helper()
	needKernel(t)
	l, err := lab.New("hs-dp")
	check(t, err)
	t.Cleanup(func() { check(t, l.Close()) })
	k, err := l.Kiosk(lab.KioskConfig{Customers: 1, Offloads: lab.OffloadsInside})
	check(t, err)
	return &kiosk{box: boxOf(t, k.Router), Kiosk: k, mac: dataplane.MAC(k.Customers[0].MAC)}
}

// eachAttachment runs a test on a bridge in both modes, and on its port in the
// kernel's own.
func eachAttachment(t *testing.T, test func(k *kiosk, opts Options)) {
	t.Helper()
	t.Run("bridge by tcx", func(t *testing.T) {
		needTCX(t)
		k := newKiosk(t)
		test(k, k.options(lab.Bridge))
	})
	t.Run("bridge by clsact", func(t *testing.T) {
		k := newKiosk(t)
		k.clsact = true
		test(k, k.options(lab.Bridge))
	})
	t.Run("port", func(t *testing.T) {
		k := newKiosk(t)
		test(k, k.options(k.Port(0)))
	})
}

func (k *kiosk) reaches(port uint16) bool {
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	conn, err := k.Customers[0].Dial(ctx, "tcp", netip.AddrPortFrom(netip.MustParseAddr(lab.Server4), port).String())
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

func TestTrafficIsEnforced(t *testing.T) {
	eachAttachment(t, func(k *kiosk, opts Options) {
		t := k.t
		const port, limit = 5001, 5_000_000
		stop, err := k.Server.ServeBulk(port)
		check(t, err)
		defer stop()
		within(t, 10*time.Second, "the kiosk works without an agent", func() bool { return k.reaches(port) })
		d := k.open(opts)
		if k.reaches(port) {
			t.Fatal("an unpaid customer reaches the server")
		}
		if k.frames(d, "upload", "drop_no_rule") == 0 {
			t.Error("the dropped frames are not in the status")
		}

		check(t, d.Grant(k.mac, dataplane.Rule{Verdict: dataplane.Allow, Account: 7, LimitBytes: limit}))
		down, err := k.Customers[0].Download(netip.AddrPortFrom(netip.MustParseAddr(lab.Server4), port), 2)
		check(t, err)
		defer down.Stop()
		select {
		case e := <-d.Events():
			if e.Kind != dataplane.Exhausted || e.MAC != k.mac || e.Account != 7 || e.At <= 0 || e.At > kernel.BootNow() {
				t.Errorf("event: %+v", e)
			}
		case <-time.After(20 * time.Second):
			t.Fatal("no event of the spent limit")
		}
		reading, err := d.Read(7)
		check(t, err)
		if spent := reading.Counters.Spent(); spent > limit || spent <= limit-1500 {
			t.Errorf("spent %d of %d", spent, limit)
		}

		check(t, d.Grant(k.mac, dataplane.Rule{Verdict: dataplane.Allow, Account: 7, LimitBytes: dataplane.NoLimit}))
		within(t, 10*time.Second, "traffic after the top-up", func() bool { return down.Bytes() > limit+1_000_000 })
		check(t, d.Revoke(k.mac))
		final, err := d.Read(7)
		check(t, err)
		if k.reaches(port) {
			t.Error("a revoked customer reaches the server")
		}
		later, err := d.Read(7)
		check(t, err)
		if final.Counters.Spent() != later.Counters.Spent() {
			t.Errorf("counted after Revoke returned: %d, then %d", final.Counters.Spent(), later.Counters.Spent())
		}

		check(t, d.Close())
		if k.reaches(port) {
			t.Error("enforcement ended with the process")
		}
		check(t, detachIn(k.bpffs, k.NetNS()))
		if !k.reaches(port) {
			t.Error("the network is not open after a detach")
		}
	})
}

// frames is a figure of the status.
func (k *kiosk) frames(d *Dataplane, direction, reason string) uint64 {
	for _, t := range d.Status().Traffic {
		if t.Direction == direction && t.Reason == reason {
			return t.Frames
		}
	}
	k.t.Fatalf("no %s %s in the status", direction, reason)
	return 0
}

// A restart and an upgrade lose no packet of a connected client.
func TestNothingIsLostOverRestartAndUpgrade(t *testing.T) {
	eachAttachment(t, func(k *kiosk, opts Options) {
		t := k.t
		const port = 5002
		sink, err := k.Customers[0].Sink("udp4", port)
		check(t, err)
		defer func() { _ = sink.Close() }()
		d := k.open(opts)
		check(t, d.Grant(k.mac, allow))

		ctx, cancel := context.WithCancel(context.Background())
		sent := make(chan uint64, 1)
		go func() {
			n, err := k.Server.Blast(ctx, netip.AddrPortFrom(k.Customers[0].Addr4, port), 20_000_000, 1000)
			if err != nil {
				t.Error(err)
			}
			sent <- n
		}()
		arrived := func() uint64 { return sink.Read().Packets }
		flowing := func() { n := arrived(); within(t, 5*time.Second, "traffic", func() bool { return arrived() > n+100 }) }
		flowing()
		check(t, d.Close())
		flowing()
		d = k.open(opts)
		flowing()
		check(t, d.Close())
		k.renamePrograms()
		d = k.open(opts)
		flowing()
		cancel()

		n := <-sent
		within(t, 5*time.Second, "all packets", func() bool { return arrived() == n })
		reading, err := d.Read(allow.Account)
		check(t, err)
		if c := reading.Counters; c.DownPackets != n || c.DownBytes != n*1000 || c.RateDrops != 0 {
			t.Errorf("%d packets of 1000 bytes were sent; counted: %+v", n, c)
		}
	})
}
