// SPDX-License-Identifier: Apache-2.0

package manager_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager"
)

// The kind of fault: what strangers do grows for ever. What the portal sees of a device is
// remembered in memory, under an id that stays valid, until the device buys or connects.

func (w *world) see(n byte) sessions.Device {
	w.Helper()
	d, err := w.Observe(w.ctx, mac(n), netip.AddrFrom4([4]byte{10, 0, 0, n}), "")
	w.ok(err)
	return d
}

func (w *world) rows() int {
	w.Helper()
	list, err := w.Devices(w.ctx, sessions.DeviceFilter{})
	w.ok(err)
	return len(list)
}

func TestVisitorsAreNoRows(t *testing.T) {
	w := newWorld(t, manager.Config{})
	known := w.phone(1)
	mark := w.mark()
	d := w.see(2)
	if again := w.see(2); !d.Visitor || again.ID != d.ID || d.ID == known.ID {
		t.Errorf("seen as %+v, then as %+v", d, again)
	}
	for _, ref := range []string{mac(2).String(), "2"} {
		if found, err := w.FindDevice(w.ctx, ref); err != nil || found.ID != d.ID || found.MAC != mac(2) {
			t.Errorf("%s finds %+v, %v", ref, found, err)
		}
	}
	status, err := w.Status(w.ctx, d.ID)
	if err != nil || status.Connected || status.Device.ID != d.ID {
		t.Errorf("status %+v, %v", status, err)
	}
	_, err = w.Current(w.ctx, d.ID)
	w.code(err, sessions.NotConnected)
	_, err = w.Next(w.ctx, d.ID)
	w.code(err, sessions.NoSession)
	_, err = w.Connect(w.ctx, d.ID, "")
	w.code(err, sessions.NoSession)
	w.disconnect(d)
	w.happened(mark)
	if sum, err := w.Summary(w.ctx); err != nil || sum.Devices != 1 || sum.Visitors != 1 || w.rows() != 1 {
		t.Errorf("%+v, %v, %d rows; want one of each", sum, err, w.rows())
	}
}

// Whatever is stored of a visitor gives it a row, with the id by which it is known.
func TestVisitorsGetTheirRow(t *testing.T) {
	for name, buy := range map[string]func(*world, sessions.Device) error{
		"a purchase": func(w *world, d sessions.Device) error { w.buyTime(d, time.Hour); return nil },
		"a change": func(w *world, d sessions.Device) error {
			_, err := w.UpdateDevice(w.ctx, d.ID, sessions.DevicePatch{Hostname: ptr("tv")})
			return err
		},
		"a registration": func(w *world, _ sessions.Device) error {
			_, err := w.CreateDevice(w.ctx, sessions.DeviceSpec{MAC: mac(2).String()})
			return err
		},
		"a move": func(w *world, d sessions.Device) error {
			_, err := w.MoveSession(w.ctx, w.buyTime(w.phone(1), time.Hour).ID, d.ID)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, manager.Config{})
			d := w.see(2)
			mark := w.mark()
			w.ok(buy(w, d))
			if events := strings.Join(w.events(mark), " "); !strings.Contains(events, "device.created") {
				t.Errorf("events: %s", events)
			}
			w.restart()
			kept, err := w.FindDevice(w.ctx, mac(2).String())
			if err != nil || kept.ID != d.ID || kept.Visitor || len(kept.IPs) != 1 {
				t.Errorf("the row is %+v, %v; want the id %d and its address", kept, err, d.ID)
			}
			if seen := w.see(2); seen.ID != d.ID || seen.Visitor {
				t.Errorf("seen again as %+v", seen)
			}
		})
	}
}

func TestVisitorsAreForgottenAtTheEnd(t *testing.T) {
	w := newWorld(t, manager.Config{})
	before := w.see(2)
	w.restart()
	_, err := w.FindDevice(w.ctx, "1")
	w.code(err, sessions.NotFound)
	_, err = w.CreateSession(w.ctx, sessions.SessionSpec{Device: before.ID, Type: sessions.Time, Time: time.Hour})
	w.code(err, sessions.NotFound)
	if other := w.see(3); other.ID <= before.ID {
		t.Errorf("another device got the id %d, the one before had %d", other.ID, before.ID)
	}
	if again := w.see(2); again.ID <= before.ID {
		t.Errorf("seen again with the id %d", again.ID)
	}
}

// A visitor with the MAC that a device moves to gives way; so does its claim to an address.
func TestVisitorsGiveWay(t *testing.T) {
	w := newWorld(t, manager.Config{})
	d, visitor := w.phone(1), w.see(2)
	moved, err := w.UpdateDevice(w.ctx, d.ID, sessions.DevicePatch{MAC: ptr(mac(2).String())})
	if err != nil || moved.ID != d.ID {
		t.Fatalf("moved to the MAC of a visitor: %+v, %v", moved, err)
	}
	_, err = w.Device(w.ctx, visitor.ID)
	w.code(err, sessions.NotFound)

	latest := w.see(3)
	ip := latest.IPs[0].String()
	if found, err := w.LastWithAddress(w.ctx, latest.IPs[0]); err != nil || found.ID != latest.ID {
		t.Errorf("%s finds %+v, %v", ip, found, err)
	}
	_, err = w.UpdateDevice(w.ctx, d.ID, sessions.DevicePatch{IP: &ip})
	w.ok(err)
	if found, err := w.LastWithAddress(w.ctx, latest.IPs[0]); err != nil || found.ID != d.ID {
		t.Errorf("registered by another, %s finds %+v, %v", ip, found, err)
	}
}

func TestVisitorsAndTheConfiguration(t *testing.T) {
	w := newWorld(t, manager.Config{Trusted: []dataplane.MAC{mac(2)}, Blocked: []dataplane.MAC{mac(3)}})
	w.connect(w.see(2))
	_, err := w.Disconnect(w.ctx, w.see(2).ID, "")
	w.code(err, sessions.Forbidden)
	_, err = w.Connect(w.ctx, w.see(3).ID, "")
	w.code(err, sessions.Forbidden)
	if n := w.rows(); n != 0 {
		t.Errorf("%d rows", n)
	}
}

// What a provider sold is stored, and so is its device.
func TestVisitorsConnectByAProvider(t *testing.T) {
	w := shopWorld(t, map[string]*shop{"shop": newShop(voucher(1_000_000))}, "shop")
	rows := w.rows()
	d := w.see(77)
	if next, err := w.Next(w.ctx, d.ID); err != nil || next.Device != d.ID {
		t.Errorf("next is %+v, %v", next, err)
	}
	other := w.see(78)
	w.connect(other)
	w.passes(other, true)
	if n := w.rows() - rows; n != 2 {
		t.Errorf("%d rows, want 2", n)
	}
}

func TestVisitorsOfManyThreads(t *testing.T) {
	w := newWorld(t, manager.Config{})
	done := make(chan sessions.Device)
	for range 8 {
		go func() {
			for n := range byte(40) {
				d, err := w.Observe(w.ctx, mac(n), netip.Addr{}, "")
				if err == nil && n%3 == 0 {
					_, err = w.CreateSession(w.ctx, sessions.SessionSpec{Device: d.ID, Type: sessions.Time, Time: time.Hour})
				}
				if err != nil {
					t.Error(err)
				}
			}
			done <- sessions.Device{}
		}()
	}
	for range 8 {
		<-done
	}
	if sum, err := w.Summary(w.ctx); err != nil || sum.Devices != 14 || sum.Visitors != 26 {
		t.Errorf("%d rows, %d visitors, %v; want 14 and 26", sum.Devices, sum.Visitors, err)
	}
}
