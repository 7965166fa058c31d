// SPDX-License-Identifier: Apache-2.0

package manager_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager"
)

// use sells a session to a device, and uses it up.
func (w *world) use(d sessions.Device) sessions.Session {
	w.Helper()
	s := w.buyTime(d, time.Minute)
	w.connect(d)
	w.clock.Advance(time.Minute)
	w.ok(w.SettleDue(w.ctx))
	return w.state(s.ID, sessions.Consumed)
}

// TestForget: the kind of fault is history that only grows. What is over, and devices
// that bought nothing, go when the configuration says so, and nothing else does.
func TestForget(t *testing.T) {
	w := newWorld(t, manager.Config{ForgetDevices: 30 * day, KeepSessions: 400 * day})
	customer, stranger, regular := w.phone(1), w.phone(2), w.phone(3)
	used, topped := w.use(customer), w.use(customer)
	kept := w.buyTime(customer, time.Hour)
	w.clock.Advance(29 * day)
	w.phone(3) // seen
	w.ok(w.Forget(w.ctx))
	if n := w.rows(); n != 3 {
		t.Errorf("%d devices after 29 days, want 3", n)
	}
	mark := w.mark()
	w.clock.Advance(2 * day)
	w.ok(w.Forget(w.ctx))
	w.happened(mark, "device.deleted(forgotten)")
	_, err := w.Device(w.ctx, stranger.ID)
	w.code(err, sessions.NotFound)
	_, err = w.Device(w.ctx, regular.ID)
	w.ok(err)

	w.clock.Advance(368 * day)
	w.ok(w.Forget(w.ctx))
	w.state(used.ID, sessions.Consumed)
	_, err = w.UpdateSession(w.ctx, topped.ID, sessions.SessionPatch{AddTime: ptr(time.Hour)})
	w.ok(err)
	mark = w.mark()
	w.clock.Advance(2 * day)
	w.ok(w.Forget(w.ctx))
	w.happened(mark, "session.deleted(forgotten)")
	if events, err := w.Events(w.ctx, mark, 0); err != nil || !strings.Contains(events[0].Message, fmt.Sprintf("1 sessions that were over before 2026-03-30T12:02:00Z: %d", used.ID)) {
		t.Errorf("%+v, %v", events, err)
	}
	_, err = w.Session(w.ctx, used.ID)
	w.code(err, sessions.NotFound)
	w.state(kept.ID, sessions.Available)
	w.state(topped.ID, sessions.Paused)
}

func TestForgetNothing(t *testing.T) {
	for name, cfg := range map[string]manager.Config{
		"never": {},
		"later": {ForgetDevices: 4000 * day, KeepSessions: 4000 * day},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, cfg)
			s := w.use(w.phone(1))
			w.phone(2)
			w.clock.Advance(3000 * day)
			w.ok(w.Forget(w.ctx))
			w.state(s.ID, sessions.Consumed)
			if n := w.rows(); n != 2 {
				t.Errorf("%d devices are left", n)
			}
		})
	}
}

// TestForgetBelievesNoWrongClock: a router without a clock battery, or with a wrong one, must
// not lose its customers' history by it.
func TestForgetBelievesNoWrongClock(t *testing.T) {
	w := newWorld(t, manager.Config{ForgetDevices: 30 * day, KeepSessions: 400 * day})
	s := w.use(w.phone(1))
	w.phone(2)
	w.checkpoint()
	w.clock.SetWallByHand(w.clock.Now().AddDate(20, 0, 0))
	w.checkpoint()
	w.ok(w.Forget(w.ctx))
	w.state(s.ID, sessions.Consumed)
	if n := w.rows(); n != 2 {
		t.Errorf("%d devices are left, want 2", n)
	}
}

// TestForgetMuch goes a few rows at a time, so that others get their turn.
func TestForgetMuch(t *testing.T) {
	w := newWorld(t, manager.Config{ForgetDevices: 30 * day, KeepSessions: 400 * day})
	d := w.phone(1)
	const many = 300
	w.ok(w.store.Update(w.ctx, func(tx sessions.Tx) error {
		for n := range many {
			idle := sessions.Device{MAC: mac(0), Created: w.clock.Now()}
			idle.MAC[3], idle.MAC[4] = byte(n>>8)+1, byte(n)
			if err := tx.PutDevice(&idle); err != nil {
				return err
			}
			s := sessions.Session{Device: d.ID, Provider: sessions.LocalProvider, State: sessions.Consumed, Time: time.Minute, TimeUsed: time.Minute, Ended: w.clock.Now()}
			if err := tx.PutSession(&s); err != nil {
				return err
			}
		}
		return nil
	}))
	w.clock.Advance(401 * day)
	w.phone(1)
	mark := w.mark()
	w.ok(w.Forget(w.ctx))
	if left, err := w.Sessions(w.ctx, sessions.SessionFilter{}); err != nil || len(left) != 0 || w.rows() != 1 {
		t.Errorf("%d sessions, %d devices are left, %v", len(left), w.rows(), err)
	}
	if n := len(w.events(mark)); n < 8 || n > 12 {
		t.Errorf("%d events, want one for each transaction of 64 rows", n)
	}
}

func TestDeleteDevice(t *testing.T) {
	w := newWorld(t, manager.Config{})
	d := w.phone(1)
	w.use(d)
	left := w.buyTime(d, time.Hour)
	w.connect(d)
	err := w.DeleteDevice(w.ctx, d.ID)
	w.code(err, sessions.Conflict)
	if !strings.Contains(err.Error(), fmt.Sprintf("session %d (running)", left.ID)) || !strings.Contains(err.Error(), d.MAC.String()) {
		t.Errorf("refused with: %v", err)
	}
	w.ok(w.DeleteSession(w.ctx, left.ID))
	mark := w.mark()
	w.ok(w.DeleteDevice(w.ctx, d.ID))
	w.happened(mark, "session.deleted(deleted)", "device.deleted(deleted)")
	w.code(w.DeleteDevice(w.ctx, d.ID), sessions.NotFound)
	if again := w.phone(1); again.ID == d.ID {
		t.Errorf("the id %d is given again", d.ID)
	}
	visitor := w.see(2)
	w.ok(w.DeleteDevice(w.ctx, visitor.ID))
	_, err = w.Device(w.ctx, visitor.ID)
	w.code(err, sessions.NotFound)
}
