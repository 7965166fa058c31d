// SPDX-License-Identifier: Apache-2.0

package manager_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager"
)

// A phone with a new MAC has usually been seen with it before the operator moves its
// purchases there: by the portal, which resolves each visitor. The kind of fault: what was
// only seen stands in the way of what was bought. The device without sessions gives way,
// connected or not, and every other way onto a seen MAC works as well.
func TestDeviceWithoutSessionsGivesWay(t *testing.T) {
	for n := range 4 {
		connected, row := n%2 == 1, n > 1
		w := newWorld(t, manager.Config{})
		d := w.phone(1)
		s := w.buyTime(d, time.Hour)
		if connected {
			w.connect(d)
		}
		seen, err := w.Observe(w.ctx, mac(2), netip.MustParseAddr("10.0.0.9"), "phone")
		w.ok(err)
		events := []string{"device.updated"}
		if row {
			w.phone(2)
			events = []string{"device.deleted(merged)", "device.updated"}
		}
		mark := w.mark()
		moved, err := w.UpdateDevice(w.ctx, d.ID, sessions.DevicePatch{MAC: ptr(seen.MAC.String())})
		w.ok(err)
		if moved.ID != d.ID || moved.MAC != seen.MAC || moved.Hostname != "phone" || moved.IPv4().String() != "10.0.0.9" {
			t.Errorf("the device is %+v", moved)
		}
		w.happened(mark, events...)
		if _, err := w.Device(w.ctx, seen.ID); sessions.CodeOf(err) != sessions.NotFound {
			t.Errorf("the device that gave way: %v", err)
		}
		w.passes(moved, connected)
		if got := w.session(s.ID); got.Device != d.ID {
			t.Errorf("the session is of device %d", got.Device)
		}
		again, err := w.Observe(w.ctx, mac(2), netip.MustParseAddr("10.0.0.9"), "")
		w.ok(err)
		if again.ID != d.ID {
			t.Errorf("the portal finds device %d", again.ID)
		}
	}
}

// Each of these brings a purchase onto a MAC that was only seen.
func TestEveryWayOntoASeenMAC(t *testing.T) {
	w := newWorld(t, manager.Config{})
	d := w.phone(1)
	sold := w.sell(sessions.SessionSpec{Device: d.ID, Type: sessions.Time, Time: time.Hour})
	list := w.export(false)
	seen, err := w.Observe(w.ctx, mac(2), netip.MustParseAddr("10.0.0.9"), "")
	w.ok(err)
	move := func(to sessions.Device) {
		_, err := w.MoveSession(w.ctx, sold.ID, to.ID)
		w.ok(err)
	}
	arrived := func(way string) {
		list, err := w.Sessions(w.ctx, sessions.SessionFilter{Device: seen.ID})
		w.ok(err)
		if len(list) != 1 {
			t.Errorf("%s: device %d has %d sessions", way, seen.ID, len(list))
		}
	}
	move(seen)
	arrived("move")
	move(d)
	_, err = w.claim(sold.Claim, seen)
	w.ok(err)
	arrived("claim")
	w.ok(w.DeleteSession(w.ctx, sold.ID))
	list[0].MAC = mac(2)
	_, err = w.Import(w.ctx, list)
	w.ok(err)
	arrived("import")
}

// A device that starts something while another takes its MAC over either gives way
// before, or has a session and stays.
func TestGiveWayWhileBuying(t *testing.T) {
	for range 20 {
		w := newWorld(t, manager.Config{})
		d := w.phone(1)
		w.buyTime(d, time.Hour)
		seen := w.phone(2)
		bought := make(chan error, 1)
		go func() {
			_, err := w.CreateSession(w.ctx, sessions.SessionSpec{Device: seen.ID, Type: sessions.Time, Time: time.Hour})
			if err == nil {
				_, err = w.Connect(w.ctx, seen.ID, "")
			}
			bought <- err
		}()
		_, moved := w.UpdateDevice(w.ctx, d.ID, sessions.DevicePatch{MAC: ptr(seen.MAC.String())})
		switch err := <-bought; {
		case err == nil:
			w.code(moved, sessions.Conflict)
		case sessions.CodeOf(err) == sessions.NotFound:
			w.ok(moved)
		default:
			t.Fatalf("buying: %v, moving: %v", err, moved)
		}
	}
}
