// SPDX-License-Identifier: Apache-2.0

package manager_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager"
)

// soon is less than a step has to hold.
const soon = 50 * time.Minute

// expiring is a customer with data and an expiry in a month.
func (w *world) expiring() (sessions.Device, sessions.Session) {
	w.Helper()
	d := w.phone(1)
	s := w.buy(sessions.SessionSpec{Device: d.ID, Type: sessions.Data, Bytes: 1 << 30, ExpDays: ptr(uint(30))})
	w.connect(d)
	w.checkpoint()
	return d, s
}

func (w *world) sane(want bool) {
	w.Helper()
	sum, err := w.Summary(w.ctx)
	w.ok(err)
	if sum.ClockSane != want {
		w.Fatalf("at %s the clock is believed: %v", w.clock.Now(), sum.ClockSane)
	}
}

// A clock that is set wrong ends no session, running or paused, and is
// forgotten when it is right again.
func TestAWrongClockEndsNoSession(t *testing.T) {
	for _, wrong := range []time.Time{
		time.Unix(0, 0), time.Date(2025, 6, 1, 0, 0, 0, 0, time.UTC), time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC),
	} {
		for _, reboots := range []bool{false, true} {
			w := newWorld(t, manager.Config{ResumeAfterReboot: true})
			d, s := w.expiring()
			paused := w.phone(2)
			p := w.buy(sessions.SessionSpec{Device: paused.ID, Type: sessions.Time, Time: time.Hour, ExpDays: ptr(uint(30))})
			w.connect(paused)
			w.disconnect(paused)
			right := w.clock.Now().Add(soon)
			if reboots {
				w.kernel.Detach()
				w.clock.Reboot(0)
			}
			w.clock.SetWallByHand(wrong)
			if reboots {
				w.restart()
				_, err := w.Summary(w.ctx) // a read before Reconcile decides nothing
				w.ok(err)
				w.ok(w.Reconcile(w.ctx))
			}
			w.checkpoint()
			w.sane(false)
			w.phone(3) // an event of that time
			w.clock.Advance(soon)
			w.checkpoint()
			w.ok(w.Reconcile(w.ctx))
			w.passes(d, true)
			w.state(s.ID, sessions.Running)
			w.state(p.ID, sessions.Paused)

			w.clock.SetWall(right)
			w.restart()
			w.ok(w.Reconcile(w.ctx))
			w.sane(true)
			w.state(s.ID, sessions.Running)
			w.clock.Advance(30 * day)
			w.checkpoint()
			w.state(s.ID, sessions.Expired)
			w.ok(w.Reconcile(w.ctx))
			w.state(p.ID, sessions.Expired)
		}
	}
}

// A session that starts under a clock that is not believed is dated when it is: its
// days count from its start.
func TestAStartUnderAWrongClock(t *testing.T) {
	w := newWorld(t, manager.Config{})
	w.expiring()
	right := w.clock.Now()
	w.clock.SetWallByHand(right.Add(-300 * day)) // later than the earliest that is possible
	d := w.phone(2)
	s := w.buy(sessions.SessionSpec{Device: d.ID, Type: sessions.Data, Bytes: 1 << 30, ExpDays: ptr(uint(2))})
	w.connect(d)
	w.clock.Advance(soon)
	w.clock.SetWall(right.Add(soon))
	w.checkpoint()
	if got := w.state(s.ID, sessions.Running).Started; got.Sub(right).Abs() > soon {
		t.Errorf("started %s, in truth %s", got, right)
	}
	w.passes(d, true)
}

// Where there is no NTP, a clock that was set is believed when it has held; after a
// reboot at once, when it continues from where it was.
func TestWithoutNTP(t *testing.T) {
	w := newWorld(t, manager.Config{})
	w.expiring()
	w.clock.SetWallByHand(w.clock.Now().Add(20 * time.Second))
	w.sane(true)
	w.clock.SetWallByHand(w.clock.Now().Add(2 * day))
	w.sane(false)
	w.clock.Advance(soon)
	w.sane(false)
	w.clock.SetWallByHand(w.clock.Now().Add(2 * day)) // another step
	w.sane(false)
	w.clock.Advance(soon)
	w.sane(false)
	w.clock.Advance(soon)
	w.sane(true)
	w.checkpoint()

	w.clock.Reboot(time.Hour)
	w.restart()
	w.ok(w.Reconcile(w.ctx))
	w.sane(true)
}

// An agent that is killed and started again while the clock is wrong does not take it
// for right, nor the right one for wrong.
func TestTrustOutlivesTheAgent(t *testing.T) {
	w := newWorld(t, manager.Config{})
	w.expiring()
	right := w.clock.Now()
	w.clock.SetWallByHand(right.Add(20 * time.Hour))
	w.restart()
	w.ok(w.Reconcile(w.ctx))
	w.sane(false)
	w.clock.SetWallByHand(right)
	w.sane(true)
}

// Nor does it in a boot in which nothing was believed yet: of the wall time only the
// earliest is known then, from the boot before.
func TestAnUnknownTimeOutlivesTheAgent(t *testing.T) {
	w := newWorld(t, manager.Config{ResumeAfterReboot: true})
	w.expiring()
	last := w.clock.Now()
	w.kernel.Detach()
	w.clock.Reboot(0)
	w.clock.SetWallByHand(last.Add(300 * day))
	w.restart()
	w.ok(w.Reconcile(w.ctx))
	w.clock.Advance(soon)
	w.checkpoint()
	w.restart()
	w.ok(w.Reconcile(w.ctx))
	w.sane(false)
	w.clock.SetWallByHand(last) // long past
	w.sane(false)
	w.clock.SetWallByHand(last.Add(soon))
	w.sane(true)
}

// The wall time at another time is known from the last checkpoint.
func TestKnownAt(t *testing.T) {
	wall := time.Date(2026, 3, 29, 12, 0, 0, 0, time.UTC)
	last := sessions.Checkpoint{Boot: "boot-1", At: dataplane.Boottime(time.Hour), Known: wall}
	for _, c := range []struct {
		boot string
		at   time.Duration
		want time.Time
	}{
		{"boot-1", time.Hour, wall},
		{"boot-1", 90 * time.Minute, wall.Add(30 * time.Minute)},
		{"boot-2", time.Minute, wall.Add(time.Minute)}, // not earlier
	} {
		if got := last.KnownAt(c.boot, dataplane.Boottime(c.at)); !got.Equal(c.want) {
			t.Errorf("%s after %s: %s, want %s", c.boot, c.at, got, c.want)
		}
	}
	if got := (sessions.Checkpoint{}).KnownAt("boot-1", 1); !got.IsZero() {
		t.Errorf("known of nothing: %s", got)
	}
}

// Whatever the wall clock does, used time is what the kernel let pass.
func TestUsedTimeUnderAnyClock(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(rt, manager.Config{})
		d := w.phone(1)
		s := w.buyTime(d, 1000*time.Hour)
		w.connect(d)
		began := w.clock.Boot()
		for range rapid.IntRange(1, 12).Draw(rt, "steps") {
			step := time.Duration(rapid.Int64Range(-60, 60).Draw(rt, "months")) * 30 * day
			if rapid.Bool().Draw(rt, "ntp") {
				w.clock.SetWall(w.clock.Now().Add(step))
			} else {
				w.clock.SetWallByHand(w.clock.Now().Add(step))
			}
			w.clock.Advance(time.Duration(rapid.IntRange(0, 7200).Draw(rt, "seconds")) * time.Second)
			switch rapid.IntRange(0, 2).Draw(rt, "then") {
			case 0:
				w.checkpoint()
			case 1:
				w.restart()
				w.ok(w.Reconcile(w.ctx))
			}
			want := w.clock.Boot().Sub(began)
			if got := w.state(s.ID, sessions.Running).TimeUsed; got != want {
				rt.Fatalf("%s used of %s connected", got, want)
			}
		}
	})
}
