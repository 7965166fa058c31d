// SPDX-License-Identifier: Apache-2.0

package manager_test

import (
	"testing"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager"
)

// Packets may be counted for some milliseconds after Revoke returned. Whatever happens
// meanwhile, they are debited once, to the session whose they were.
func TestLateBytesFindTheirSession(t *testing.T) {
	for name, meanwhile := range map[string]func(w *world, d sessions.Device){
		"nothing":             func(*world, sessions.Device) {},
		"the agent restarts":  func(w *world, _ sessions.Device) { w.restart(); w.ok(w.Reconcile(w.ctx)) },
		"it connects again":   func(w *world, d sessions.Device) { w.connect(d) },
		"it connects, pauses": func(w *world, d sessions.Device) { w.connect(d); w.disconnect(d) },
		"a checkpoint":        func(w *world, _ sessions.Device) { w.checkpoint() },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, manager.Config{})
			d := w.phone(1)
			s, other := w.buyData(d, 100_000), w.buyData(d, 100_000)
			w.connect(d)
			w.kernel.Download(d.MAC, 1000)
			w.disconnect(d)
			if got := w.stored(s.ID); got.Used != 1000 {
				t.Errorf("%d bytes are stored at the pause, want 1000", got.Used)
			}
			w.kernel.Late(s.Account(), 300)
			meanwhile(w, d)
			w.kernel.Late(s.Account(), 7)
			w.disconnect(d)
			for range 4 {
				w.clock.Advance(time.Second)
				w.checkpoint()
			}
			if got := w.stored(s.ID); got.Used != 1307 || got.State != sessions.Paused {
				t.Errorf("%d bytes debited to a session that is %s, want 1307 and paused", got.Used, got.State)
			}
			if got := w.stored(other.ID); got.Used != 0 {
				t.Errorf("another session was debited %d bytes", got.Used)
			}
			if left := w.kernel.Readings(); len(left) != 0 {
				t.Errorf("accounts left in the kernel: %+v", left)
			}
		})
	}
}

// Late packets of one that was used up are not those of the next.
func TestLateBytesAfterTheEnd(t *testing.T) {
	w := newWorld(t, manager.Config{})
	d := w.phone(1)
	first, next := w.buyTime(d, time.Minute), w.buyData(d, 10_000)
	w.connect(d)
	w.kernel.Download(d.MAC, 1000)
	w.clock.Advance(time.Minute)
	w.ok(w.SettleDue(w.ctx))
	w.state(first.ID, sessions.Consumed)
	w.kernel.Late(first.Account(), 500)
	w.kernel.Download(d.MAC, 200)
	w.restart()
	w.ok(w.Reconcile(w.ctx))
	for range 4 {
		w.clock.Advance(time.Second)
		w.checkpoint()
	}
	w.disconnect(d)
	if a, b := w.stored(first.ID), w.stored(next.ID); a.Used != 1500 || b.Used != 200 || a.State != sessions.Consumed {
		t.Errorf("debited %d (%s) and %d bytes, want 1500 (consumed) and 200", a.Used, a.State, b.Used)
	}
}

// A machine that dies gives back what was used since the last checkpoint, not more.
func TestPowerCut(t *testing.T) {
	w := newWorld(t, manager.Config{})
	a, b := w.phone(1), w.phone(2)
	data, hour := w.buyData(a, 1_000_000), w.buyTime(b, time.Hour)
	w.connect(a)
	w.connect(b)
	w.kernel.Download(a.MAC, 1000)
	for range 3 {
		w.clock.Advance(10 * time.Second)
		w.kernel.Download(a.MAC, 1000)
		w.checkpoint()
	}
	w.clock.Advance(9 * time.Second)
	w.kernel.Download(a.MAC, 50)
	w.ok(w.store.Sync()) // of the connects, long ago
	w.kernel.Detach()
	w.store.PowerCut()
	w.clock.Reboot(time.Minute)
	for range 3 { // and it dies again while it starts
		w.restart()
		w.ok(w.Reconcile(w.ctx))
	}
	if got := w.state(data.ID, sessions.Paused); got.Used != 4000 {
		t.Errorf("%d bytes used, want 4000", got.Used)
	}
	if got := w.state(hour.ID, sessions.Paused); got.TimeUsed != 30*time.Second {
		t.Errorf("%s used, want 30s", got.TimeUsed)
	}
}
