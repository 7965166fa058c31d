// SPDX-License-Identifier: Apache-2.0

package manager_test

import (
	"testing"
	"time"

	"github.com/hotspot-agent/hotspot-agent/pkg/dataplane"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions"
	"github.com/hotspot-agent/hotspot-agent/pkg/sessions/manager"
)

func TestConnectAndDisconnect(t *testing.T) {
	w := newWorld(t, manager.Config{})
	d := w.phone(1)
	w.passes(d, false)
	_, err := w.Connect(w.ctx, d.ID, "")
	w.code(err, sessions.NoSession)
	_, err = w.Current(w.ctx, d.ID)
	w.code(err, sessions.NotConnected)

	s := w.buyTime(d, time.Hour)
	mark := w.mark()
	w.connect(d)
	w.passes(d, true)
	w.connect(d) // changes nothing
	w.happened(mark, "session.started", "client.connected")

	mark = w.mark()
	w.clock.Advance(10 * time.Minute)
	w.disconnect(d)
	w.passes(d, false)
	w.disconnect(d) // changes nothing
	w.happened(mark, "session.paused(request)", "client.disconnected(request)")

	w.clock.Advance(24 * time.Hour)
	if got := w.state(s.ID, sessions.Paused); got.RemainingTime() != 50*time.Minute || got.Used != 100 {
		t.Errorf("after the pause %s and %d bytes used", got.RemainingTime(), got.Used)
	}
}

func TestUnknownDevice(t *testing.T) {
	w := newWorld(t, manager.Config{})
	_, err := w.Connect(w.ctx, 99, "")
	w.code(err, sessions.NotFound)
	_, err = w.Disconnect(w.ctx, 99, "")
	w.code(err, sessions.NotFound)
	_, err = w.CreateSession(w.ctx, sessions.SessionSpec{Device: 99, Type: sessions.Time, Time: time.Hour})
	w.code(err, sessions.NotFound)
	_, err = w.UpdateSession(w.ctx, 99, sessions.SessionPatch{})
	w.code(err, sessions.NotFound)
	w.code(w.DeleteSession(w.ctx, 99), sessions.NotFound)
	w.code(w.UnregisterProvider(w.ctx, "unknown"), sessions.NotFound)
}

func TestPausesLoseNoSecond(t *testing.T) {
	w := newWorld(t, manager.Config{})
	d := w.phone(1)
	s := w.buyTime(d, time.Minute)
	for range 60 {
		w.connect(d)
		w.clock.Advance(999 * time.Millisecond)
		w.disconnect(d)
		w.clock.Advance(time.Hour)
		w.checkpoint()
	}
	if got := w.state(s.ID, sessions.Paused).RemainingTime(); got != 60*time.Millisecond {
		t.Errorf("%s left, want 60ms", got)
	}
}

func TestTopUpWhileConnected(t *testing.T) {
	w := newWorld(t, manager.Config{LowBalancePercent: 10})
	d := w.phone(1)
	s := w.buyData(d, 10_000)
	w.connect(d)
	mark := w.mark()
	w.kernel.Download(d.MAC, 9500)
	w.checkpoint()
	w.checkpoint()
	w.happened(mark, "session.low")

	mark = w.mark()
	_, err := w.UpdateSession(w.ctx, s.ID, sessions.SessionPatch{AddBytes: ptr(uint64(20_000))})
	w.ok(err)
	passed := w.kernel.Fill(d.MAC)
	w.drain()
	if got := w.state(s.ID, sessions.Consumed); got.Used != 9500+passed || got.Used > 30_000 || got.Used <= 28_500 {
		t.Errorf("%d bytes used, %d passed after the top-up", got.Used, passed)
	}
	w.happened(mark, "session.updated", "session.consumed(consumed)", "client.disconnected(consumed)")
}

// The kernel reports the end, and a top-up comes before the report is handled.
func TestTopUpRacesWithTheEnd(t *testing.T) {
	w := newWorld(t, manager.Config{})
	d := w.phone(1)
	s := w.buyData(d, 10_000)
	w.connect(d)
	w.kernel.Fill(d.MAC)
	_, err := w.UpdateSession(w.ctx, s.ID, sessions.SessionPatch{AddBytes: ptr(uint64(10_000))})
	w.ok(err)
	w.drain()
	w.state(s.ID, sessions.Running)
	w.passes(d, true)
}

func TestConsumedIsToppedUp(t *testing.T) {
	w := newWorld(t, manager.Config{})
	d := w.phone(1)
	s := w.buyTime(d, time.Minute)
	w.connect(d)
	w.clock.Advance(time.Hour)
	w.checkpoint()
	w.state(s.ID, sessions.Consumed)
	_, err := w.UpdateSession(w.ctx, s.ID, sessions.SessionPatch{DownBPS: ptr(uint64(5_000_000))})
	w.ok(err)
	w.state(s.ID, sessions.Consumed)
	_, err = w.UpdateSession(w.ctx, s.ID, sessions.SessionPatch{AddTime: ptr(time.Minute)})
	w.ok(err)
	w.state(s.ID, sessions.Paused)
	w.connect(d)
	if got := w.session(s.ID).RemainingTime(); got != time.Minute {
		t.Errorf("%s left", got)
	}
}

func TestUpdateThatLeavesNothingEnds(t *testing.T) {
	w := newWorld(t, manager.Config{})
	d := w.phone(1)
	s := w.buyData(d, 10_000)
	w.connect(d)
	w.kernel.Download(d.MAC, 5000)
	_, err := w.UpdateSession(w.ctx, s.ID, sessions.SessionPatch{Bytes: ptr(uint64(4000))})
	w.ok(err)
	w.state(s.ID, sessions.Consumed)
	w.passes(d, false)
}

func TestSpeeds(t *testing.T) {
	w := newWorld(t, manager.Config{GlobalDownBPS: 7_000_000, GlobalUpBPS: 3_000_000})
	d := w.phone(1)
	s := w.buy(sessions.SessionSpec{Device: d.ID, Type: sessions.Time, Time: time.Hour, DownBPS: 1_000_000, UpBPS: 500_000})
	w.connect(d)
	rule := func() dataplane.Rule {
		return w.kernel.Rule(d.MAC)
	}
	if r := rule(); r.DownBPS != 1_000_000 || r.UpBPS != 500_000 {
		t.Errorf("own speed: %+v", r)
	}
	_, err := w.UpdateSession(w.ctx, s.ID, sessions.SessionPatch{UseGlobalSpeed: ptr(true)})
	w.ok(err)
	if r := rule(); r.DownBPS != 7_000_000 || r.UpBPS != 3_000_000 {
		t.Errorf("global speed: %+v", r)
	}
}

func TestDeleteRunning(t *testing.T) {
	w := newWorld(t, manager.Config{})
	d := w.phone(1)
	first, second := w.buyTime(d, time.Hour), w.buyTime(d, time.Hour)
	w.connect(d)
	mark := w.mark()
	w.ok(w.DeleteSession(w.ctx, first.ID))
	w.state(second.ID, sessions.Running)
	w.passes(d, true)
	w.happened(mark, "session.paused(deleted)", "session.deleted(deleted)", "session.started")
	mark = w.mark()
	w.ok(w.DeleteSession(w.ctx, second.ID))
	w.passes(d, false)
	w.happened(mark, "session.paused(deleted)", "session.deleted(deleted)", "client.disconnected(deleted)")
	_, err := w.Session(w.ctx, second.ID)
	w.code(err, sessions.NotFound)
	for range 3 {
		w.checkpoint()
		w.clock.Advance(2 * time.Second)
	}
	if left := w.kernel.Readings(); len(left) != 0 {
		t.Errorf("accounts left in the kernel: %+v", left)
	}
}

func TestFull(t *testing.T) {
	w := newWorld(t, manager.Config{})
	a, b := w.phone(1), w.phone(2)
	w.buyTime(a, time.Hour)
	s := w.buyTime(b, time.Hour)
	w.kernel.SetMax(1)
	w.connect(a)
	mark := w.mark()
	_, err := w.Connect(w.ctx, b.ID, "")
	w.code(err, sessions.Full)
	w.happened(mark)
	if got := w.state(s.ID, sessions.Available); got.TimeUsed != 0 || !got.Started.IsZero() {
		t.Errorf("a refused Connect left %+v", got)
	}
	w.passes(a, true)
	w.disconnect(a)
	w.connect(b)
}

func TestIdlePause(t *testing.T) {
	w := newWorld(t, manager.Config{IdleTimeout: 5 * time.Minute, Checkpoint: time.Hour})
	d := w.phone(1)
	s := w.buyTime(d, time.Hour)
	w.connect(d)
	w.clock.Advance(4 * time.Minute)
	w.kernel.Upload(d.MAC, 100)
	w.checkpoint()
	due, _ := w.Due()
	if want := w.clock.Boot().Add(5 * time.Minute); due != want {
		t.Errorf("due %s from now, want 5m", due.Sub(w.clock.Boot()))
	}
	mark := w.mark()
	w.clock.Advance(5*time.Minute - 1)
	w.passes(d, true) // what is sent to a device does not show that it is there
	w.checkpoint()
	w.happened(mark)
	w.clock.Advance(1)
	w.checkpoint()
	w.state(s.ID, sessions.Paused)
	w.passes(d, false)
	w.happened(mark, "session.paused(idle)", "client.disconnected(idle)")
}

func TestLateBytesAreDebited(t *testing.T) {
	w := newWorld(t, manager.Config{})
	d := w.phone(1)
	s := w.buyData(d, 10_000)
	w.connect(d)
	w.kernel.Download(d.MAC, 1000)
	w.disconnect(d)
	w.kernel.Late(s.Account(), 500)
	w.checkpoint()
	if got := w.session(s.ID); got.Used != 1500 {
		t.Errorf("%d bytes used, want 1500", got.Used)
	}
	w.clock.Advance(time.Second)
	w.kernel.Late(s.Account(), 5)
	w.checkpoint()
	w.clock.Advance(time.Second)
	w.checkpoint()
	if left := w.kernel.Readings(); len(left) != 0 {
		t.Errorf("accounts left in the kernel: %+v", left)
	}
	w.connect(d)
	passed := w.kernel.Fill(d.MAC)
	w.drain()
	if got := w.state(s.ID, sessions.Consumed); got.Used != 1505+passed || got.Used > 10_000 {
		t.Errorf("%d bytes used, %d passed at last", got.Used, passed)
	}
}

func TestTrustedAndBlocked(t *testing.T) {
	w := newWorld(t, manager.Config{Trusted: []dataplane.MAC{mac(1)}, Blocked: []dataplane.MAC{mac(2)}})
	trusted, blocked := w.phone(1), w.phone(2)
	w.passes(trusted, true)
	status, err := w.Status(w.ctx, trusted.ID)
	w.ok(err)
	if !status.Connected || status.Session != nil || status.Traffic.DownBytes != 100 {
		t.Errorf("a trusted device's status: %+v", status)
	}
	w.connect(trusted)
	_, err = w.Disconnect(w.ctx, trusted.ID, "")
	w.code(err, sessions.Forbidden)
	w.buyTime(blocked, time.Hour)
	_, err = w.Connect(w.ctx, blocked.ID, "")
	w.code(err, sessions.Forbidden)
	for range 3 {
		w.checkpoint()
		w.clock.Advance(2 * time.Second)
	}
	w.passes(trusted, true)
	w.passes(blocked, false)
}
